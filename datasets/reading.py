"""Reading several folders as one; each image keeps the name of the dataset it belongs to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from concrete_study.datasets.duplicates import Pair, find_pairs
from concrete_study.datasets.errors import DataError, UsageError
from concrete_study.datasets.folders import Fault, ImageFolder, read_folder
from concrete_study.datasets.progress import SILENT, Progress, log_first


def name_datasets(roots: Sequence[Path]) -> dict[str, Path]:
    """Short unique names for folders: their own, with as many parents as make them differ.

    Raises:
        UsageError: If a folder is given twice.
    """
    if repeated := [root for root, count in Counter(roots).items() if count > 1]:
        raise UsageError(f"{repeated[0]} is given twice.", "Expected each folder once.")
    parts = {root: root.relative_to(root.anchor).parts or ("root",) for root in roots}
    depths = dict.fromkeys(roots, 1)
    while True:
        names = {root: "-".join(parts[root][-depth:]) for root, depth in depths.items()}
        shared = {name for name, count in Counter(names.values()).items() if count > 1}
        longer = [r for r in roots if names[r] in shared and depths[r] < len(parts[r])]
        if not longer:
            break
        for root in longer:
            depths[root] += 1
    named: dict[str, Path] = {}
    for root, name in names.items():
        unique, number = name, 1
        while unique in named:  # /a/b and /a-b: the same parts, joined
            number += 1
            unique = f"{name}-{number}"
        named[unique] = root
    return named


def join_folders(folders: Mapping[str, ImageFolder]) -> ImageFolder:
    """Joins folders; each file's path then begins with the name of its dataset.

    Args:
        folders: By dataset name, as `read_folder` returns them; a single one stays as it is.

    Raises:
        DataError: If they do not have the same classes.
    """
    (first, *others) = folders.values()
    if not others:
        return first
    for name, folder in folders.items():
        if folder.classes != first.classes:
            raise DataError(
                "the folders have different classes.",
                f"Expected {', '.join(first.classes)} in each; {name} has "
                f"{', '.join(folder.classes)}.",
                "rename the class folders, or evaluate one folder as an external test set, where "
                "classes can be mapped.",
            )
    thumbnails: dict[str, NDArray[np.uint8]] = {}
    for folder in folders.values():
        thumbnails |= folder.thumbnails
    return ImageFolder(
        {name: folder.roots[""] for name, folder in folders.items()},
        first.classes,
        [
            image._replace(file=f"{name}/{image.file}")
            for name, folder in folders.items()
            for image in folder.images
        ],
        [
            Fault(f"{name}/{fault.file}", fault.reason)
            for name, folder in folders.items()
            for fault in folder.faults
        ],
        thumbnails,
    )


def read_folders(roots: Mapping[str, Path], progress: Progress = SILENT) -> ImageFolder:
    """Reads folders, by dataset name, as one, and logs the excluded files.

    Raises:
        DataError: If a folder cannot be studied, or they do not have the same classes.
    """
    with progress.counting("reading images", 0) as done:
        folders = {
            name: read_folder(root, on_image=lambda: done(1)) for name, root in roots.items()
        }
    folder = join_folders(folders)
    log_first(progress, "excluded", [f"{f.file}: {f.reason}" for f in folder.faults])
    return folder


def find_near_duplicates(
    folder: ImageFolder,
    progress: Progress = SILENT,
    *,
    others: Mapping[str, Path] = MappingProxyType({}),
) -> list[Pair]:
    """Finds near-duplicates in a folder, and among its images and `others` (by SHA-256).

    Raises:
        DataError: If an image can no longer be read.
    """
    files = {**others, **folder.files()}
    with progress.counting("finding near-duplicates", 0) as done:
        return find_pairs(files, folder.thumbnails, on_image=lambda: done(1))
