"""Content of the user's cache folder, all of which can be recomputed."""

import shutil
from contextlib import ExitStack
from pathlib import Path

from filelock import FileLock, Timeout

from concrete_study.datasets.errors import ResourceError
from concrete_study.datasets.files import cache_folder


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
