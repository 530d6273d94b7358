"""Reading several folders as one; each image keeps the name of the dataset it belongs to."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from concrete_study.datasets.archives import open_archive
from concrete_study.datasets.duplicates import Pair, find_pairs
from concrete_study.datasets.errors import DataError, UsageError
from concrete_study.datasets.folders import Fault, ImageFolder, read_folder
from concrete_study.datasets.labels import require_known_names
from concrete_study.datasets.progress import SILENT, Progress, log_first
from concrete_study.datasets.tree import Ignored


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


def join_folders(
    folders: Mapping[str, ImageFolder], *, partial: Collection[str] = ()
) -> ImageFolder:
    """Joins folders; each file's path then begins with the name of its dataset.

    Args:
        folders: By dataset name, as `read_folder` returns them; a single one stays as it is.
        partial: Datasets that may lack some of the classes.

    Raises:
        DataError: If they do not have the same classes.
    """
    (first, *others) = folders.values()
    if not others:
        return first
    _require_same_classes(first.classes, folders, partial)
    joined = ImageFolder({n: f.roots[""] for n, f in folders.items()}, first.classes, [], [], {})
    for name, folder in folders.items():
        joined = joined._replace(
            images=joined.images + [i._replace(file=f"{name}/{i.file}") for i in folder.images],
            faults=joined.faults + [Fault(f"{name}/{f.file}", f.reason) for f in folder.faults],
            thumbnails={**joined.thumbnails, **folder.thumbnails},
            ignored=[
                *joined.ignored,
                *(replace(i, example=f"{name}/{i.example}") for i in folder.ignored),
            ],
            notes=[*joined.notes, *(f"{name}: {note}" for note in folder.notes)],
        )
    return joined


def _require_same_classes(
    expected: Sequence[str], folders: Mapping[str, ImageFolder], partial: Collection[str]
) -> None:
    for name, folder in folders.items():
        unknown = [label for label in folder.classes if label not in expected]
        if not unknown and (folder.classes == expected or name in partial):
            continue
        pairs = ",".join(f"{label}=CLASS" for label in unknown)
        raise DataError(
            "the folders have different classes.",
            f"Expected {', '.join(expected)} in each; {name} has {', '.join(folder.classes)}.",
            f"rename the class folders, or map them to these classes: {pairs}"
            if unknown
            else f"add the missing classes to {name}, or use it as an external test set.",
            parameter="class_map" if unknown else "",
        )


def read_folders(
    roots: Mapping[str, Path],
    progress: Progress = SILENT,
    *,
    class_map: Mapping[str, str] = MappingProxyType({}),
    labels: Mapping[str, Path] = MappingProxyType({}),
    partial: Collection[str] = (),
) -> ImageFolder:
    """Reads folders, by dataset name, as one; logs layouts, ignored and excluded files.

    Args:
        roots: Folders, or zip files of them.
        progress: Receives messages and counts.
        class_map: Classes by folder, see `find_layout`.
        labels: CSV files of labels, by dataset name, see `find_layout`.
        partial: Datasets that may lack some of the classes.

    Raises:
        DataError: If a folder cannot be studied, or they do not have the same classes.
        UsageError: If `class_map` or `labels` cannot be used.
    """
    opened = {name: open_archive(root, progress) for name, root in roots.items()}
    folders = {
        name: read_folder(
            root,
            class_map=class_map,
            labels=labels.get(name),
            least_classes=1 if name in partial else 2,
            progress=progress,
        )
        for name, root in opened.items()
    }
    folder = join_folders(folders, partial=partial)
    by_folder = [found for name, found in folders.items() if name not in labels]
    files = [image.file for found in by_folder for image in found.images]
    files += [fault.file for found in by_folder for fault in found.faults]
    require_known_names(class_map, files, labels.values())
    for line in (*folder.notes, *describe_ignored(folder.ignored)):
        progress.log(line)
    log_first(progress, "excluded", [f"{f.file}: {f.reason}" for f in folder.faults])
    return folder


def describe_ignored(ignored: Sequence[Ignored]) -> list[str]:
    """One line for each reason; files that look like images are a warning."""
    return [
        f"Warning: {i.count} image files excluded, e.g. {i.example}: {i.reason}."
        if i.is_image
        else f"ignored: {i.count} {i.reason}, e.g. {i.example}"
        for i in ignored
    ]


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
    return find_pairs(files, folder.thumbnails, progress=progress)
