"""What the tests of hostile input share: names, contents and damage, and what a reader may do.

HYPOTHESIS_PROFILE=long tries 10,000 examples of each instead of 500.
"""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from concrete_study.datasets.decoding import UnreadableImageError
from concrete_study.datasets.errors import StudyError

LONGEST_SECONDS = 10
# Examples share a test's temporary folder: each writes its own files before it reads them.
_QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
# The same examples in every run, so that a failure is the change's.
settings.register_profile(
    "ci", max_examples=500, deadline=None, derandomize=True, suppress_health_check=_QUIET
)
settings.register_profile(
    "long", max_examples=10_000, deadline=None, database=None, suppress_health_check=_QUIET
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def slow(fraction: float) -> settings:
    """The settings of a test whose examples take tens of milliseconds: a part of the examples."""
    return settings(max_examples=max(1, int(settings().max_examples * fraction)))


class Hang(BaseException):
    """A reader took longer than `LONGEST_SECONDS`; not an Exception, which it might catch."""


@contextmanager
def parses_or_refuses() -> Iterator[None]:
    """The block ends in time, or raises an error of the project that has a message."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST_SECONDS)
    try:
        yield
    except (StudyError, UnreadableImageError) as error:
        assert str(error).strip()
        str(error).encode()  # can be printed
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


HOSTILE_NAMES = (
    "../x",
    "../../../../tmp/x",
    "/tmp/x",
    "a/b",
    "a\\..\\b",
    "a\0b",
    "x" * 300,
    "\N{CONSTRUCTION WORKER}" * 70,
    "\N{PILE OF POO}",
    "-rf",
    "--help",
    ".",
    "..",
    "~",
    "",
    " ",
    "con",
    "<script>alert(1)</script>",
    "\"'`&;|$(id)",
    "two\nlines",
    "carriage\rreturn",
    "\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe",
    "=cmd|'/c calc'!A0",
    "+1",
    "@SUM(A1)",
    "\tx",
    "\x1b[31mred\x1b[2J",
    "\x9b31m",
    r"100 % & $x_1$ #{~^\input{/etc/passwd}}",
    "NA",
    "nan",
    "{{ 7 * 7 }}",
)
names = st.one_of(st.sampled_from(HOSTILE_NAMES), st.text(max_size=40))
# Of a file or folder that Linux can store.
file_names = names.map(
    lambda name: name.replace("/", "_").replace("\0", "_")[:60].encode("utf-8", "replace").decode()
).filter(lambda name: name not in ("", ".", ".."))


def written(path: Path, content: bytes) -> Path:
    """A file with this content."""
    path.write_bytes(content)
    return path


@st.composite
def damaged(draw: st.DrawFn, originals: Sequence[bytes]) -> bytes:
    """A valid content with flipped bits, an inserted piece, or without its end."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 4))):
        # Half of the damage in the first bytes, where sizes and offsets are.
        last = min(len(content), 64) if draw(st.booleans()) else len(content)
        content[draw(st.integers(0, last - 1))] ^= 1 << draw(st.integers(0, 7))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(content)))
        content[at:at] = draw(st.binary(max_size=16))
    if draw(st.booleans()):
        del content[draw(st.integers(0, len(content))) :]
    return bytes(content)


def csv_like(*columns: str) -> st.SearchStrategy[bytes]:
    """The text of a CSV file with a header, perhaps of other columns, and rows of any form."""
    cell = st.one_of(names, st.sampled_from(['"', '""', ",", "\n", "\r", "1e999", "a/1.jpg"]))
    header = st.one_of(st.just(list(columns)), st.lists(cell, max_size=6))
    rows = st.lists(st.lists(cell, max_size=len(columns) + 2), max_size=6)
    joined = st.tuples(header, rows).map(
        lambda t: "\n".join(",".join(row) for row in (t[0], *t[1]))
    )
    text = st.one_of(joined, st.text()).map(lambda text: text.encode("utf-8", "surrogatepass"))
    return st.one_of(text, st.binary())
