"""Content of the user's cache folder, all of which can be recomputed.

Every file is read together with its checksum; one that is damaged counts as missing.
"""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from filelock import FileLock, Timeout

from concrete_study.datasets.errors import ResourceError
from concrete_study.datasets.files import cache_folder, file_sha256, replacing, write_text

T = TypeVar("T")
_intact: set[tuple[Path, int, int, int]] = set()  # files that this process has verified


class _Cached(msgspec.Struct):
    sha256: str
    content: msgspec.Raw


def read_cached(path: Path, kind: type[T]) -> T | None:
    """The content of a JSON file; None if it is missing, damaged or of another path."""
    with suppress(OSError, ValueError):  # msgspec's errors are ValueErrors
        stored = msgspec.json.decode(path.read_bytes(), type=_Cached)
        if stored.sha256 == _json_sha256(path, stored.content):
            return msgspec.json.decode(stored.content, type=kind)
    return None


def write_cached(path: Path, content: Any) -> None:
    """Writes what `read_cached` reads; not where a folder has taken the path."""
    raw = msgspec.Raw(msgspec.json.encode(content))
    cached = _Cached(_json_sha256(path, raw), raw)
    with suppress(IsADirectoryError):
        write_text(path, msgspec.json.encode(cached).decode())


def _json_sha256(path: Path, content: msgspec.Raw) -> str:
    return hashlib.sha256(path.name.encode() + bytes(content)).hexdigest()


@contextmanager
def replacing_with_checksum(path: Path) -> Iterator[Path]:
    """As `replacing`; a file next to `path` has the SHA-256 of its content."""
    with replacing(path) as temporary:
        yield temporary
        write_text(_checksum_path(path), file_sha256(temporary))


def has_checksum(path: Path) -> bool:
    """Whether a file and its checksum are there; neither is read."""
    return path.is_file() and _checksum_path(path).is_file()


def is_verified(path: Path) -> bool:
    """Whether this process has found the file intact, and it is the same since."""
    return path.exists() and _state(path) in _intact


def is_intact(path: Path) -> bool:
    """Whether a file has the content of its checksum; it is read once per process.

    Raises:
        FileNotFoundError: If the file is missing.
    """
    state = _state(path)
    with suppress(FileNotFoundError, PermissionError, IsADirectoryError, UnicodeDecodeError):
        if state in _intact or file_sha256(path) == _checksum_path(path).read_text("ascii"):
            _intact.add(state)
    return state in _intact


def _state(path: Path) -> tuple[Path, int, int, int]:
    found = path.stat()
    return path.absolute(), found.st_ino, found.st_size, found.st_mtime_ns


def _checksum_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def cache_sizes() -> dict[str, int]:
    """Bytes by entry: features, duplicates, decodable, downloads, the sample."""
    folder = cache_folder()
    if not folder.is_dir():
        return {}
    return {entry.name: _size(entry) for entry in sorted(folder.iterdir())}


def clear() -> int:
    """Removes everything; a running search that reads features fails and can be resumed.

    Returns:
        Number of bytes removed.

    Raises:
        ResourceError: If a process is writing to it; nothing is removed.
    """
    if not (total := sum(cache_sizes().values())):
        return 0
    with ExitStack() as stack:
        for lock in cache_folder().rglob("*.lock"):
            try:
                stack.enter_context(FileLock(lock, blocking=False))
            except Timeout:
                raise ResourceError(
                    "the cache is in use.",
                    f"Expected no process to write to it; {lock.parent} is locked.",
                    "run it again when the other process has ended.",
                ) from None
    for entry in cache_folder().iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return total


def _size(entry: Path) -> int:
    files = entry.rglob("*") if entry.is_dir() else [entry]
    return sum(file.stat().st_size for file in files if file.is_file())
