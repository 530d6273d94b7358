"""One large file over HTTP: resumed after a break, given up after a silence.

The work is libcurl's (pycurl): ranges, redirects, proxies, the system's certificates. Here is
only what it leaves to its caller: how long to wait, how often to try, what to say.
"""

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic, sleep
from typing import Any, BinaryIO, NamedTuple, Protocol

from concrete_study.datasets.errors import ResourceError

MEGABYTE = 1_000_000
BY_HAND = "download {url} by hand, in a browser, and give the file with --archive FILE."


class Watcher(Protocol):
    """Told of what takes time; the command line's display is one."""

    def log(self, text: str) -> None:
        """One line that stays."""

    def counting(
        self, what: str, total: int, unit: str = "images"
    ) -> AbstractContextManager[Callable[[int], None]]:
        """Work on `total` units; the context's value takes how many were done."""


class Patience(NamedTuple):
    """Seconds without a byte, tries in a row without a new byte, seconds before the second try."""

    silence: float = 30
    tries: int = 4
    pause: float = 1


class _BrokenOffError(Exception):
    """The transfer ended early for a reason that may pass."""


class _NoRangesError(Exception):
    """The server sends the whole file or nothing."""


class _WrongFileError(Exception):
    """What came cannot be the file; the message says what it was."""


def transfer(
    url: str, part: Path, size: int, watcher: Watcher, *, patience: Patience | None = None
) -> None:
    """Fetches `url` into `part`, from where an earlier transfer ended.

    Args:
        url: An http or https address; redirects are followed.
        part: What is there already counts as the file's beginning; it stays on an error.
        size: Bytes of the whole file, at least 1.
        watcher: Told of megabytes, breaks and new starts.
        patience: How long to wait and how often to try.

    Raises:
        ResourceError: If the server cannot be reached, says no, falls silent, breaks off
            again and again or sends a file of another size, or if the disk is full.
    """
    patience = patience or Patience()
    if _size(part) > size:
        part.unlink()
    furthest, idle = _size(part), 0
    while (start := _size(part)) < size:
        try:
            _attempt(url, part, size, watcher, patience.silence)
        except _NoRangesError:
            part.unlink()
            watcher.log("The server cannot resume: starting from the beginning.")
        except _BrokenOffError as error:
            idle = 0 if _size(part) > furthest else idle + 1
            furthest = max(furthest, _size(part))
            if idle == patience.tries:
                raise ResourceError(
                    f"the download broke off: {error}.",
                    f"Expected {size:,} bytes; received {_size(part):,} so far.",
                    "the same command again, which goes on from there. If that does not help: "
                    + BY_HAND.format(url=url),
                ) from error
            fetched = max(_size(part) - start, 0) / MEGABYTE
            watcher.log(f"Broken off after {fetched:.1f} MB ({error}): trying again.")
            sleep(patience.pause * 2**idle)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _attempt(url: str, part: Path, size: int, watcher: Watcher, silence: float) -> None:
    """One request for what is missing, to its end."""
    start = _size(part)
    what = f"fetching {part.stem}" + (f" from {start / MEGABYTE:.0f} MB on" if start else "")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            watcher.counting(what, (size - start) // MEGABYTE, "MB") as count,
            part.open("ab") as file,
        ):
            kind = _perform(url, start, size, _Receiver(file, count, silence))
        if _size(part) != size:
            raise _WrongFileError(f"{_size(part):,} bytes{kind}")
    except _WrongFileError as error:
        part.unlink()
        raise ResourceError(
            "the server sent another file, which was removed.",
            f"Expected {size:,} bytes; received {error}.",
            "the same command again later. If that does not help: " + BY_HAND.format(url=url),
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ResourceError(
            f"no space left for {part}: {error.strerror}.",
            f"Expected room for {size:,} bytes; there was room for {_size(part):,}.",
            "free some space and give the same command again, which goes on from there; "
            "STUDY_CACHE_DIR moves the cache.",
        ) from error
    finally:
        if not _size(part):
            part.unlink(missing_ok=True)


class _Receiver:
    """libcurl's callbacks. pycurl prints and drops what they raise, so it is kept here."""

    def __init__(self, file: BinaryIO, count: Callable[[int], None], silence: float) -> None:
        self.failure: BaseException | None = None
        self._file, self._count, self._silence = file, count, silence
        self._heard = monotonic()
        self._bytes = 0

    def write(self, chunk: bytes) -> int:
        try:
            self._file.write(chunk)
            before, self._bytes = self._bytes, self._bytes + len(chunk)
            self._count(self._bytes // MEGABYTE - before // MEGABYTE)
        except BaseException as error:
            self.failure = error
            return -1
        self._heard = monotonic()
        return len(chunk)

    def watch(self, *_: int) -> int:
        """Called about once a second, also in a silence; anything but 0 ends the transfer."""
        try:
            self._count(0)  # a Ctrl-C shows here
        except BaseException as error:
            self.failure = error
            return 1
        if quiet := monotonic() - self._heard > self._silence:
            self.failure = _BrokenOffError(f"nothing came for {self._silence:g} seconds")
        return int(quiet)


def _perform(url: str, start: int, size: int, receiver: _Receiver) -> str:
    """Lets libcurl do one transfer; returns what kind of file it was, for a message."""
    import pycurl

    curl = pycurl.Curl()
    curl.setopt(curl.URL, url)
    curl.setopt(curl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
    curl.setopt(curl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)  # one file gains nothing by 2
    curl.setopt(curl.FOLLOWLOCATION, True)
    curl.setopt(curl.MAXREDIRS, 10)
    curl.setopt(curl.FAILONERROR, True)
    curl.setopt(curl.USERAGENT, "concrete-study")
    curl.setopt(curl.NOSIGNAL, True)
    curl.setopt(curl.RESUME_FROM_LARGE, start)
    curl.setopt(curl.MAXFILESIZE_LARGE, size)  # of the rest, too: a redirect's page counts
    curl.setopt(curl.BUFFERSIZE, 1 << 18)
    curl.setopt(curl.WRITEFUNCTION, receiver.write)
    curl.setopt(curl.NOPROGRESS, False)
    curl.setopt(curl.XFERINFOFUNCTION, receiver.watch)
    if certificates := os.environ.get("SSL_CERT_FILE"):
        # As Python's own ssl and other tools take it; libcurl by itself does not.
        curl.setopt(curl.CAINFO, certificates)
    try:
        curl.perform()
        kind, status = curl.getinfo(curl.CONTENT_TYPE), curl.getinfo(curl.RESPONSE_CODE)
    except pycurl.error as error:
        receiver.watch()  # a Ctrl-C may have come while no callback could keep it
        raise receiver.failure or _explain(url, size, error, curl) from error
    finally:
        curl.close()
    if start and status == 416:  # "range not satisfiable", to libcurl a sign that all is there
        raise _NoRangesError
    return f" ({kind})" if kind else ""


def _explain(url: str, size: int, error: Exception, curl: Any) -> Exception:
    """What libcurl's error means for the one who waits."""
    import pycurl

    code, message = error.args
    status = curl.getinfo(curl.RESPONSE_CODE)
    if code == pycurl.E_HTTP_RANGE_ERROR:
        return _NoRangesError()
    if code == pycurl.E_FILESIZE_EXCEEDED:
        return _WrongFileError("more than that")
    passing = (
        pycurl.E_PARTIAL_FILE,
        pycurl.E_RECV_ERROR,
        pycurl.E_SEND_ERROR,
        pycurl.E_GOT_NOTHING,
        pycurl.E_OPERATION_TIMEDOUT,
    )
    if code in passing or status in (408, 429) or status >= 500:
        return _BrokenOffError(message)
    return ResourceError(
        f"the download failed: {message}.",
        f"Expected {size:,} bytes; received none.",
        "look after the network and give the same command again, or " + BY_HAND.format(url=url),
    )
