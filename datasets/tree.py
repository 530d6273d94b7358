"""One pass over a folder: its images, and what is ignored, counted by reason."""

import os
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from concrete_study.datasets.errors import DataError
from concrete_study.datasets.file_kinds import (
    SUFFIXES,
    is_skipped_folder,
    is_system_folder,
    kind_of,
)
from concrete_study.datasets.printing import printable

CLASS_FOLDERS = "one sub-folder per class, e.g. Negative/ and Positive/"  # in messages


@dataclass(frozen=True, order=True)
class Ignored:
    """Files that are left out for one reason."""

    reason: str
    count: int
    example: str  # the first file
    is_image: bool  # whether they look like images, which a user has to know of


def count_ignored(ignored: Iterable[Ignored]) -> dict[str, int]:
    """Number of files by reason, over all folders."""
    counts: Counter[str] = Counter()
    for found in ignored:
        counts[found.reason] += found.count
    return dict(counts)


class TreeFile(NamedTuple):
    """An image: the folders below the root that lead to it, and its name."""

    folders: tuple[str, ...]
    name: str

    @property
    def file(self) -> str:
        """The path relative to the root, with forward slashes."""
        return "/".join((*self.folders, self.name))


class IgnoredFiles:
    """Counts ignored files by reason."""

    def __init__(self) -> None:
        self._found: dict[tuple[bool, str], tuple[int, str]] = {}

    def add(self, reason: str, example: str, *, is_image: bool, count: int = 1) -> None:
        """Counts files; the first one becomes the example."""
        if count:
            before, first = self._found.get((is_image, reason), (0, example))
            self._found[is_image, reason] = before + count, first

    def listed(self) -> list[Ignored]:
        """Files that look like images first, then by reason."""
        return [
            Ignored(reason, count, printable(example), is_image)
            for (is_image, reason), (count, example) in sorted(
                self._found.items(), key=lambda item: (not item[0][0], item[0][1])
            )
        ]


class Tree(NamedTuple):
    """The images of a folder, sorted by path, and what is ignored."""

    files: list[TreeFile]
    ignored: IgnoredFiles


def scan(root: Path, named: Collection[str] = ()) -> Tree:
    """Finds all images below a folder; links are followed once, real folders before links.

    Args:
        root: The folder.
        named: Names of folders that are read although they are hidden.

    Raises:
        DataError: If there is no such folder, or one cannot be read: ignoring it would drop a
            class silently.
    """
    _require_folder(root)
    tree = Tree([], IgnoredFiles())
    seen: set[tuple[int, int]] = set()
    folders: list[tuple[str, ...]] = [()]
    links: list[tuple[str, ...]] = []
    try:
        while folders or links:
            parts = folders.pop() if folders else links.pop(0)
            status = root.joinpath(*parts, ".").stat()
            if (key := (status.st_dev, status.st_ino)) in seen:
                tree.ignored.add(
                    "links to folders that have been read already", "/".join(parts), is_image=False
                )
                continue
            seen.add(key)
            for entry in _entries(root.joinpath(*parts)):
                _sort_in(entry, parts, tree, named, folders, links)
    except PermissionError as error:
        raise DataError(
            f"the folder {error.filename} cannot be read.",
            f"Expected permission to list and open its files; received: {error.strerror}.",
            f"chmod -R u+rX {root}",
        ) from error
    return tree._replace(files=sorted(tree.files, key=lambda f: (*f.folders, f.name)))


def has_images(root: Path) -> bool:
    """Whether there is any image in a folder or below."""
    return root.is_dir() and bool(scan(root).files)


def _require_folder(root: Path) -> None:
    layout = f"Expected a folder with {CLASS_FOLDERS}"
    if not root.exists():
        hint = "check the path, or give another folder."
        raise DataError(f"no folder {root}.", f"{layout}; the folder does not exist.", hint)
    if not root.is_dir():
        hint = "give a folder or a zip file of one."
        raise DataError(f"{root} is not a folder.", f"{layout}; found a file.", hint)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    # `.` needs permission to enter, which listing alone does not.
    (folder / ".").stat()
    with os.scandir(folder) as found:
        return sorted(found, key=lambda entry: entry.name)


def _sort_in(
    entry: os.DirEntry[str],
    parts: tuple[str, ...],
    tree: Tree,
    named: Collection[str],
    folders: list[tuple[str, ...]],
    links: list[tuple[str, ...]],
) -> None:
    """Adds an entry of a folder to the images, the ignored files or the folders to read."""
    relative = "/".join((*parts, entry.name))
    if Path(entry.path).is_dir():  # unlike the entry's own, no error for a link to itself
        if _is_ignored_folder(entry, parts, tree.ignored, named):
            return
        (links if entry.is_symlink() else folders).append((*parts, entry.name))
        return
    try:
        kind = kind_of(Path(entry.path))
    except OSError:  # no suffix and no permission: whether it is an image is unknown
        tree.ignored.add("files without a suffix that cannot be read", relative, is_image=True)
        return
    if kind.is_image and not kind.reason:
        tree.files.append(TreeFile(parts, entry.name))
    else:
        tree.ignored.add(kind.reason, relative, is_image=kind.is_image)


def _is_ignored_folder(
    entry: os.DirEntry[str],
    parts: tuple[str, ...],
    ignored: IgnoredFiles,
    named: Collection[str],
) -> bool:
    """Whether a folder is a system's or hidden; its files are counted then."""
    name = entry.name
    if name in named or not is_skipped_folder(name):
        return False
    files = [file for _, _, names in os.walk(entry.path) for file in names]
    if is_system_folder(name):
        reason, count, is_image = f"files in system folders ({name})", len(files), False
    else:
        images = [file for file in files if Path(file).suffix.lower() in SUFFIXES]
        # At the top it may be a class; below one it belongs to a tool.
        is_image = not parts and bool(images)
        reason = f"in the hidden folder {name}: rename it, or map it to a class"
        count = len(images)
        if not is_image:
            reason, count = "files in hidden folders", len(files)
    ignored.add(reason, "/".join((*parts, name)) + "/", is_image=is_image, count=count)
    return True
