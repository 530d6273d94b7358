"""How the images of a folder are arranged: which file has which class and which given subset.

Known are class folders, the same below one more level, SDNET2018, and ready-made splits
(`train/ val/ test/`). A class map or a list of labels takes precedence over them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from concrete_study.datasets.errors import DataError, SitesError
from concrete_study.datasets.labels import label_by_list
from concrete_study.datasets.tree import CLASS_FOLDERS, Ignored, IgnoredFiles, TreeFile, scan

Folders = tuple[str, ...]
"""Names of folders below the root, from the top."""

_PARTS = {
    "train": "train|training|trainset|trainingset",
    "validation": "val|valid|validation|valset|validset|validationset|dev",
    "test": "test|testing|testset|testingset",
    "": "pred|prediction|predictions|unlabelled|unlabeled",  # no subset: without classes
}
_SUBSET_NAMES = {name: subset for subset, names in _PARTS.items() for name in names.split("|")}
_USUAL_NAMES = (
    "positive negative crack cracked cracks nocrack nocracks noncrack noncracked notcracked "
    "uncracked uncrack withcrack withoutcrack intact sound damage damaged undamaged defect "
    "defects defective nodefect nondefective ok nok notok good bad normal abnormal pass fail"
)
_USUAL_CLASSES = frozenset(_USUAL_NAMES.split())
_SDNET_CLASSES = dict.fromkeys(("CD", "CP", "CW"), "Cracked") | dict.fromkeys(
    ("UD", "UP", "UW"), "Uncracked"
)


class LayoutFile(NamedTuple):
    """An image's path relative to the folder, its class, and its given subset or ""."""

    file: str
    label: str
    subset: str = ""


class Layout(NamedTuple):
    """The labelled images of a folder, sorted by path, and what is ignored."""

    files: list[LayoutFile]
    ignored: list[Ignored]
    notes: list[str]  # on a layout that is more than class folders

    @property
    def classes(self) -> list[str]:
        """Sorted by name."""
        return sorted({file.label for file in self.files})


class Arrangement(NamedTuple):
    """Which level of folders has the classes."""

    bases: Mapping[Folders, str]  # given subset, or "", by the folders above the classes
    class_map: Mapping[str, str] = {}
    notes: Sequence[str] = ()
    sites: Sequence[Folders] = ()  # each has the same classes


def find_layout(
    root: Path,
    *,
    class_map: Mapping[str, str] = MappingProxyType({}),
    labels: Path | None = None,
    least_classes: int = 2,
) -> Layout:
    """Finds class and given subset of every image in a folder, in one pass over it.

    Args:
        root: The folder.
        class_map: Class by the name of any folder on a file's path, the deepest one first, or by
            the class in `labels`. Folders and classes that it does not name keep their names.
        labels: A CSV file with the columns `file` and `class`; other images are ignored.
        least_classes: Smallest number of classes.

    Raises:
        DataError: If it has too few classes, several sites, or no training images of a class.
        UsageError: If the list of labels cannot be used.
    """
    files, ignored = scan(root, class_map)
    if labels is not None:
        named = label_by_list(root, [f.file for f in files], labels, ignored, class_map)
        layout = Layout([LayoutFile(*pair) for pair in named], ignored.listed(), [])
    else:
        arrangement = _arrange(files)
        if arrangement.sites and not class_map:
            raise SitesError(root, ["/".join(site) for site in arrangement.sites])
        notes = [] if class_map else list(arrangement.notes)
        layout = Layout(_label(files, arrangement, class_map, ignored), ignored.listed(), notes)
        _require_training(root, layout)
    if len(layout.classes) < least_classes:
        raise DataError(*_too_few_classes(root, layout, labels))
    return layout


def _label(
    files: Sequence[TreeFile],
    arrangement: Arrangement,
    class_map: Mapping[str, str],
    ignored: IgnoredFiles,
) -> list[LayoutFile]:
    """The images that have a class; the others are counted as ignored."""
    labelled = []
    for file in files:
        base = next((b for b in arrangement.bases if file.folders[: len(b)] == b), None)
        own = (*file.folders[len(base) :], "")[0] if base is not None else ""
        named = class_map or arrangement.class_map
        mapped = next((named[name] for name in reversed(file.folders) if name in named), "")
        if mapped or (own and not own.startswith("_")):
            subset = "" if base is None else arrangement.bases[base]
            labelled.append(LayoutFile(file.file, mapped or own, subset))
            continue
        ignored.add(_reason(file, own, class_map), file.file, is_image=True)
    return labelled


def _reason(file: TreeFile, own: str, class_map: Mapping[str, str]) -> str:
    if own:
        return f"in {own}/, which begins with an underscore: rename it, or map it to a class"
    if class_map:
        return "in no folder of the class map"
    if file.folders:
        return f"in {'/'.join(file.folders)}/, which has no class folders"
    return "in no class folder"


def _require_training(root: Path, layout: Layout) -> None:
    """DataError if a ready-made split has no training images of a class."""
    if not any(file.subset for file in layout.files):
        return
    trained = {file.label for file in layout.files if file.subset == "train"}
    if missing := [label for label in layout.classes if label not in trained]:
        raise DataError(
            f"the ready-made split in {root} has no training images of class {missing[0]}.",
            f"Expected every class in train/; found {', '.join(sorted(trained)) or 'none'}.",
            "add the class to train/, or map folders to classes if its folders have several names.",
        )


def _too_few_classes(root: Path, layout: Layout, labels: Path | None) -> tuple[str, str, str]:
    expected = f"Expected {CLASS_FOLDERS}"
    excluded = [f"{i.count} images {i.reason}" for i in layout.ignored if i.is_image]
    also = f" Excluded: {'; '.join(excluded)}." if excluded else ""
    if layout.classes:
        label = layout.classes[0]
        found = f"found images only in {label}/"
        hint = f"add a folder with images of another class next to {label}/."
        if labels is not None:
            expected, found = f"Expected several classes in {labels}", f"found only {label}"
            hint = "add images of another class to the list."
        elif excluded:
            hint = f"include the excluded images as described, or {hint}"
        return f"only one class in {root}.", f"{expected}; {found}.{also}", hint
    entries = list(root.iterdir())
    directories = sum(entry.is_dir() for entry in entries)
    found = f"found {len(entries) - directories} files and {directories} folders without images"
    if any(_plain(entry.name) in _SUBSET_NAMES for entry in entries if entry.is_dir()):
        found = "found the parts of a ready-made split, without class folders"
    hint = (
        f"move the images into one sub-folder per class of {root}, or give a CSV file of labels "
        "with the columns file and class."
    )
    return f"no class folders in {root}.", f"{expected}; {found}.{also}", hint


def _arrange(files: Sequence[TreeFile]) -> Arrangement:
    """Recognises class folders, SDNET2018, ready-made splits and sites of the same classes."""
    base = _descend(files, ())
    children = _children(files, base)
    if _is_sdnet(f.folders[len(base) :] for f in files if f.folders[: len(base)] == base):
        note = (
            "SDNET2018's folders: C.. is class Cracked, U.. is class Uncracked. Several images are "
            "parts of one photograph: group them by the prefix of their file names."
        )
        return Arrangement({}, _SDNET_CLASSES, [note])
    if bases := _parts(files, base, children):
        parts = ", ".join(f"{'/'.join(b)}/ is {subset}" for b, subset in bases.items() if subset)
        return Arrangement(bases, notes=[f"Ready-made split: {parts}."] if parts else [])
    if children and all(_plain(name) in _SUBSET_NAMES for name in children):
        return Arrangement({})  # train/ and test/ without class folders: no classes themselves
    if sites := _sites(files, base, children):
        return Arrangement({}, sites=sites)
    notes = [f"Class folders are in {'/'.join(base)}/."] if base else []
    return Arrangement({base: ""}, notes=notes)


def _children(files: Sequence[TreeFile], base: Folders) -> list[str]:
    """Folders with images right below another one, without those that begin with `_`."""
    depth = len(base)
    found = {
        f.folders[depth] for f in files if len(f.folders) > depth and f.folders[:depth] == base
    }
    return sorted(name for name in found if not name.startswith("_"))


def _descend(files: Sequence[TreeFile], base: Folders) -> Folders:
    """The first level with several folders, if all above it have one folder and no images."""
    current = base
    while len(children := _children(files, current)) == 1:
        if _plain(children[0]) in _USUAL_CLASSES or any(f.folders == current for f in files):
            break
        current = (*current, children[0])
    return current if len(_children(files, current)) > 1 else base


def _plain(name: str) -> str:
    """A folder's name in small letters and digits, as they are compared."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _is_sdnet(below: Iterable[Folders]) -> bool:
    found = set()
    for folders in filter(None, below):
        named = folders[1] if len(folders) > 1 and folders[0] in ("D", "P", "W") else folders[0]
        if named not in _SDNET_CLASSES:
            return False
        found.add(_SDNET_CLASSES[named])
    return len(found) == 2


def _parts(files: Sequence[TreeFile], base: Folders, children: Sequence[str]) -> dict[Folders, str]:
    """Given subsets by the folders above the classes; empty if it is no ready-made split."""
    known = [name for name in children if _plain(name) in _SUBSET_NAMES]
    found = {}
    for name in known:
        inner, subset = _descend(files, (*base, name)), _SUBSET_NAMES[_plain(name)]
        if subset and _children(files, inner):
            found[inner] = subset
    subsets = set(found.values())
    if not found or (len(known) < len(children) and len(subsets) < 2):
        return {}
    return found if len(subsets) > 1 else dict.fromkeys(found, "")


def _sites(files: Sequence[TreeFile], base: Folders, children: Sequence[str]) -> list[Folders]:
    """Folders that all have the same usual class names below them."""
    sites = [(*base, name) for name in children]
    below = [{_plain(name) for name in _children(files, site)} for site in sites]
    same = len(sites) > 1 and all(names == below[0] for names in below)
    is_site = same and len(below[0]) > 1 and below[0] <= _USUAL_CLASSES
    return sites if is_site and not {_plain(c) for c in children} & _USUAL_CLASSES else []
