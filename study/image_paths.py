"""Paths of the images to predict: folders, patterns and standard input become files, lazily."""

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path

from concrete_study.datasets.file_kinds import is_skipped_folder, kind_of


def expand(paths: Sequence[str]) -> Iterator[str]:
    """Expands paths to files, lazily and in order.

    A folder stands for all images in it and its sub-folders, `-` for the lines of standard
    input, and a pattern (`*`, `?`, `[`) for the files that it matches. What cannot be read stays
    in the result: `refusal` has the reason.
    """
    for path in paths:
        if path == "-":
            if isinstance(sys.stdin, TextIOWrapper):  # names need not be UTF-8
                sys.stdin.reconfigure(errors="surrogateescape")
            yield from (line.rstrip("\n") for line in sys.stdin if line.strip())
        elif _is_folder(path):
            yield from _images_in(path)
        elif not os.path.lexists(path) and any(sign in path for sign in "*?["):
            yield from _matches(path) or [path]
        else:
            yield path


def refusal(path: str) -> str:
    """Why a path must not be opened as an image; empty if it is a file.

    Raises:
        OSError: If it does not exist, cannot be read, or has too long a name.
        ValueError: If it has a null character.
    """
    mode = Path(path).stat().st_mode
    if stat.S_ISDIR(mode):
        os.scandir(path).close()
        return "a folder, not a file"
    # To open a FIFO would wait for ever.
    return "" if stat.S_ISREG(mode) else "a FIFO, socket or device, not a file"


def _matches(pattern: str) -> list[str]:
    anchor = Path(Path(pattern).anchor)
    try:
        return sorted(str(found) for found in anchor.glob(str(Path(pattern).relative_to(anchor))))
    except (OSError, ValueError):  # no valid pattern, or too long a name
        return []


def _images_in(root: str) -> Iterator[str]:
    """Images of any format in a folder, then in its sub-folders, each sorted by name.

    As in a search, hidden files and folders and those of systems are skipped, a file without a
    suffix is recognized by its content, and links are followed to folders that were not read
    before. A folder that cannot be listed is itself in the result.
    """
    waiting, seen = [root], set[tuple[int, int]]()
    while waiting:
        folder = waiting.pop()
        try:
            status = Path(folder).stat()
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            yield str(Path(folder))
            continue
        if (identity := (status.st_dev, status.st_ino)) in seen:
            continue
        seen.add(identity)
        below: list[os.DirEntry[str]] = []
        for entry in entries:
            if _is_folder(entry.path):
                below += [] if is_skipped_folder(entry.name) else [entry]
            elif _may_be_image(entry.path):
                yield str(Path(entry.path))
        below.sort(key=lambda entry: entry.is_symlink())
        waiting += [entry.path for entry in reversed(below)]


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(Path(path).stat().st_mode)
    except (OSError, ValueError):  # also too long a name, a link to itself, a null character
        return False


def _may_be_image(path: str) -> bool:
    try:
        return kind_of(Path(path)).is_image
    except OSError:  # no suffix and no permission: its row has the reason
        return True
