"""The sections on the data: training images, augmented views, split, faults."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from concrete_study.datasets.splits import SplitRow
from concrete_study.results.formats import counted
from concrete_study.results.records import StudyRecord
from concrete_study.results.report.data import ReportData
from concrete_study.results.report.elements import Element, Gallery, Photograph, Section, Table
from concrete_study.results.report.images import StudyImages, training_samples

_SUBSETS = ("train", "validation", "test")


def sample_section(data: ReportData, images: StudyImages) -> list[Section]:
    """Training images of each class and their augmented views, if they are available."""
    elements: list[Element] = []
    for number, label in enumerate(sorted({row.label for row in data.split}), start=1):
        files = training_samples(data.split, label)
        elements += images.gallery(f"class-{number}", label, files, files)
    elements += _augmented_views(data)
    if not any(isinstance(element, Gallery) for element in elements):
        return []
    return [Section("samples", "Training images", elements)]


def split_section(data: ReportData) -> list[Section]:
    """The split, near-duplicates and faults; none before the images were read."""
    if not data.split:
        return []
    study = data.study
    text = (
        f"{_grouping(study, data.split)} {counted(len(study.faults), 'file')} could not be read; "
        f"{counted(len(study.conflicts), 'group')} of near-duplicates with different labels."
    )
    table = split_table(data.split)
    elements: list[Element] = [text, Table("split", "Images by subset and class.", table)]
    if study.faults:
        faults = pd.DataFrame(
            [(f.file, f.reason) for f in study.faults], columns=["file", "reason"]
        )
        elements.append(Table("faults", "Files that were left out.", faults))
    if study.conflicts:
        kept = "kept" if study.options.keep_conflicts else "left out of all subsets"
        files = [(n, file) for n, group in enumerate(study.conflicts, 1) for file in group]
        caption = f"Near-duplicates with different labels, {kept}."
        table = pd.DataFrame(files, columns=["group", "file"])
        elements.append(Table("conflicts", caption, table))
    return [Section("split", "Split, near-duplicates and faults", elements)]


def split_table(rows: Sequence[SplitRow]) -> pd.DataFrame:
    """Images by subset and class: subset, one column per class, images, groups."""
    classes = sorted({row.label for row in rows})
    table = []
    others = sorted({row.subset for row in rows}.difference(_SUBSETS))
    for subset in (*_SUBSETS, *others):
        here = [row for row in rows if row.subset == subset]
        counts = Counter(row.label for row in here)
        groups = len({row.group for row in here})
        if here:
            table.append([subset, *(counts[name] for name in classes), len(here), groups])
    return pd.DataFrame(table, columns=["subset", *classes, "images", "groups"])


def _grouping(study: StudyRecord, rows: Sequence[SplitRow]) -> str:
    several = [size for size in Counter(row.group for row in rows).values() if size > 1]
    if study.groups is None:
        return (
            "Random split without a search for near-duplicates: some may be in both training and "
            "test (data leakage)."
        )
    if several:
        return (
            f"Grouped split: {sum(several)} images are in {len(several)} groups of near-duplicates "
            f"(the largest has {max(several)} images), and no group is in two subsets."
        )
    return "Grouped split: no image is a near-duplicate of another."


def _augmented_views(data: ReportData) -> list[Element]:
    if data.illustrations is None:
        return []
    galleries: list[Element] = []
    for number, label in enumerate(data.classes):
        paths = sorted((data.illustrations / "views").glob(f"{number}-*.jpg"))
        photographs = [
            Photograph(
                f"view-{path.stem}",
                f"augmented view {view}" if view else "unaugmented",
                path.read_bytes(),
            )
            for view, path in enumerate(paths)
        ]
        caption = f"A training image of {label} and its augmented views."
        galleries += [Gallery(caption, photographs)] if photographs else []
    return galleries
