"""Recognition of the arrangement of a folder: at which level its classes are."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from concrete_study.datasets.tree import TreeFile

Folders = tuple[str, ...]
"""Names of folders below the root, from the top."""

_PARTS = {
    "train": "train|training|trainset|trainingset",
    "validation": "val|valid|validation|valset|validset|validationset|dev",
    "test": "test|testing|testset|testingset",
    "": "pred|prediction|predictions|unlabelled|unlabeled",  # no subset: without classes
}
SUBSET_NAMES = {name: subset for subset, names in _PARTS.items() for name in names.split("|")}
_USUAL_NAMES = (
    "positive negative crack cracked cracks nocrack nocracks noncrack noncracked notcracked "
    "uncracked uncrack withcrack withoutcrack intact sound damage damaged undamaged defect "
    "defects defective nodefect nondefective ok nok notok good bad normal abnormal pass fail"
)
_USUAL_CLASSES = frozenset(_USUAL_NAMES.split())
_SDNET = re.compile(r"[CU][DPW]")
_SDNET_MAP = {
    f"{kind}{site}": label
    for kind, label in (("C", "Cracked"), ("U", "Uncracked"))
    for site in "DPW"
}


class Arrangement(NamedTuple):
    """Which level of folders has the classes."""

    bases: Mapping[Folders, str]  # given subset, or "", by the folders above the classes
    class_map: Mapping[str, str] = {}
    notes: Sequence[str] = ()
    sites: Sequence[Folders] = ()  # each has the same classes


def arrange(files: Sequence[TreeFile]) -> Arrangement:
    """Recognises class folders, SDNET2018, ready-made splits and sites of the same classes."""
    base = _descend(files, ())
    children = _children(files, base)
    below = [f.folders[len(base) :] for f in files if f.folders[: len(base)] == base]
    if _is_sdnet(below):
        note = (
            "SDNET2018's folders: C.. is class Cracked, U.. is class Uncracked. Several images are "
            "parts of one photograph: group them by the prefix of their file names."
        )
        return Arrangement({}, _SDNET_MAP, [note])
    if bases := _parts(files, base, children):
        return Arrangement(bases, notes=[_describe_parts(bases)] if any(bases.values()) else [])
    if children and all(plain(name) in SUBSET_NAMES for name in children):
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
        if plain(children[0]) in _USUAL_CLASSES or any(f.folders == current for f in files):
            break
        current = (*current, children[0])
    return current if len(_children(files, current)) > 1 else base


def plain(name: str) -> str:
    """A folder's name in small letters and digits, as they are compared."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _is_sdnet(below: Sequence[Folders]) -> bool:
    found = set()
    for folders in filter(None, below):
        named = folders[1] if len(folders) > 1 and folders[0] in ("D", "P", "W") else folders[0]
        if not _SDNET.fullmatch(named):
            return False
        found.add(named[0])
    return len(found) == 2


def _parts(files: Sequence[TreeFile], base: Folders, children: Sequence[str]) -> dict[Folders, str]:
    """Given subsets by the folders above the classes; empty if it is no ready-made split."""
    known = {name: SUBSET_NAMES[plain(name)] for name in children if plain(name) in SUBSET_NAMES}
    found = {}
    for name, subset in known.items():
        inner = _descend(files, (*base, name))
        if subset and _children(files, inner):
            found[inner] = subset
    subsets = set(found.values())
    if not found or (len(known) < len(children) and len(subsets) < 2):
        return {}
    return found if len(subsets) > 1 else dict.fromkeys(found, "")


def _sites(files: Sequence[TreeFile], base: Folders, children: Sequence[str]) -> list[Folders]:
    """Folders that all have the same usual class names below them."""
    sites = [(*base, name) for name in children]
    below = [{plain(name) for name in _children(files, site)} for site in sites]
    same = len(sites) > 1 and all(names == below[0] for names in below)
    is_site = same and len(below[0]) > 1 and below[0] <= _USUAL_CLASSES
    return sites if is_site and not {plain(c) for c in children} & _USUAL_CLASSES else []


def _describe_parts(bases: Mapping[Folders, str]) -> str:
    parts = ", ".join(f"{'/'.join(base)}/ is {subset}" for base, subset in bases.items())
    return f"Ready-made split: {parts}."
