"""What the user's cache folder holds; all of it can be made again."""

import shutil
from contextlib import ExitStack
from pathlib import Path

from filelock import FileLock, Timeout

from concrete_study.datasets.errors import ResourceError
from concrete_study.datasets.files import cache_folder


def cache_sizes() -> dict[str, int]:
    """Bytes by the name of what is there: features, duplicates, downloads, the sample."""
    folder = cache_folder()
    if not folder.is_dir():
        return {}
    return {place.name: _size(place) for place in sorted(folder.iterdir())}


def clear() -> int:
    """Removes everything; a search that only reads features ends, and can be resumed.

    Returns:
        Bytes that were there.

    Raises:
        ResourceError: If a process is writing there; nothing is removed.
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
                    f"Expected no process to write there; {lock.parent} is locked.",
                    "study doctor --clear-cache, when the other process has ended.",
                ) from None
    for place in cache_folder().iterdir():
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()
    return total


def _size(place: Path) -> int:
    files = place.rglob("*") if place.is_dir() else [place]
    return sum(file.stat().st_size for file in files if file.is_file())
