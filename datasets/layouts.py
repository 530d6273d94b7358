"""How the images of a folder are arranged: which file has which class and which given subset.

Known are class folders, the same below one more level, SDNET2018, and ready-made splits
(`train/ val/ test/`). A class map or a list of labels comes before any of them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from concrete_study.datasets.arrangements import SUBSET_NAMES, Arrangement, arrange, plain
from concrete_study.datasets.errors import DataError, SitesError
from concrete_study.datasets.labels import label_by_list
from concrete_study.datasets.tree import Ignored, IgnoredFiles, TreeFile, scan


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


def find_layout(
    root: Path,
    *,
    class_map: Mapping[str, str] | None = None,
    labels: Path | None = None,
    least_classes: int = 2,
) -> Layout:
    """Finds class and given subset of every image in a folder, in one pass over it.

    Args:
        root: The folder.
        class_map: Class by the name of any folder on a file's path; the deepest one counts.
            Class folders that it does not name keep their names.
        labels: A CSV file with the columns `file` and `class`; other images are ignored.
        least_classes: Smallest number of classes.

    Raises:
        DataError: If there are too few classes, several sites of the same classes, or no
            training images in a ready-made split.
        UsageError: If the list of labels cannot be used.
    """
    given = class_map or {}
    _require_folder(root)
    files, ignored = scan(root, given)
    if labels is not None:
        named = label_by_list(root, [f.file for f in files], labels, ignored)
        layout = Layout([LayoutFile(*pair) for pair in named], ignored.listed(), [])
    else:
        arrangement = arrange(files)
        if arrangement.sites and not given:
            raise SitesError(root, ["/".join(site) for site in arrangement.sites])
        labelled = _label(files, arrangement, given, ignored)
        notes = [] if given else list(arrangement.notes)
        layout = Layout(labelled, ignored.listed(), notes)
        _require_training(root, layout)
    if len(layout.classes) < least_classes:
        raise DataError(*_too_few_classes(root, layout))
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


def _require_folder(root: Path) -> None:
    layout = "Expected a folder with one sub-folder per class, e.g. Negative/ and Positive/"
    if not root.exists():
        hint = "check the path, or give another folder."
        raise DataError(f"no folder {root}.", f"{layout}; the folder does not exist.", hint)
    if not root.is_dir():
        hint = "give a folder or a zip file of one."
        raise DataError(f"{root} is not a folder.", f"{layout}; found a file.", hint)


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


def _too_few_classes(root: Path, layout: Layout) -> tuple[str, str, str]:
    expected = "Expected one sub-folder per class, e.g. Negative/ and Positive/"
    excluded = [f"{i.count} images {i.reason}" for i in layout.ignored if i.is_image]
    also = f" Excluded: {'; '.join(excluded)}." if excluded else ""
    if layout.classes:
        label = layout.classes[0]
        found = f"found images only in {label}/"
        hint = f"add a folder with images of another class next to {label}/."
        return f"only one class in {root}.", f"{expected}; {found}.{also}", hint
    entries = list(root.iterdir())
    directories = sum(entry.is_dir() for entry in entries)
    found = f"found {len(entries) - directories} files and {directories} folders without images"
    if any(plain(entry.name) in SUBSET_NAMES for entry in entries if entry.is_dir()):
        found = "found the parts of a ready-made split, without class folders"
    hint = (
        f"move the images into one sub-folder per class of {root}, or give a CSV file of labels "
        "with the columns file and class."
    )
    return f"no class folders in {root}.", f"{expected}; {found}.{also}", hint
