"""The sections on the data: training images, augmented views, split, faults."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from concrete_study.datasets.splits import SUBSETS, SplitRow
from concrete_study.results.formats import counted
from concrete_study.results.report.data import ReportData
from concrete_study.results.report.elements import Element, Gallery, Photograph, Section, Table
from concrete_study.results.report.images import gallery, training_samples


def sample_section(data: ReportData) -> list[Section]:
    """Training images of each class and their augmented views, if they are available."""
    elements: list[Element] = []
    for number, label in enumerate(sorted({row.label for row in data.split}), start=1):
        files = training_samples(data.split, label)
        elements += gallery(data, f"class-{number}", label, files, files)
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
        f"{_grouping(data)} {counted(len(study.faults), 'file')} could not be read; "
        f"{counted(len(study.conflicts), 'group')} of near-duplicates with different labels."
    )
    table = split_table(data.split)
    elements: list[Element] = [text, Table("split", "Images by subset and class.", table)]
    if study.faults:
        elements.append(Table("faults", "Files that were excluded.", pd.DataFrame(study.faults)))
    if study.conflicts:
        kept = "kept" if study.options.keep_conflicts else "excluded from all subsets"
        files = [(n, file) for n, group in enumerate(study.conflicts, 1) for file in group]
        caption = f"Near-duplicates with different labels, {kept}."
        table = pd.DataFrame(files, columns=["group", "file"])
        elements.append(Table("conflicts", caption, table))
    return [Section("split", "Split, near-duplicates and faults", elements)]


def split_table(rows: Sequence[SplitRow]) -> pd.DataFrame:
    """Images by subset and class: subset, one column per class, images, groups."""
    frame = pd.DataFrame(rows)
    sums = frame.groupby("subset").agg(images=("file", "size"), groups=("group", "nunique"))
    table = pd.concat([pd.crosstab(frame["subset"], frame["label"]), sums], axis=1)
    order = [subset for subset in dict.fromkeys([*SUBSETS, *table.index]) if subset in table.index]
    return table.loc[order].reset_index(allow_duplicates=True)


def _grouping(data: ReportData) -> str:
    several = [size for size in Counter(row.group for row in data.split).values() if size > 1]
    if data.study.groups is None:
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
    galleries: list[Element] = []
    if data.illustrations is None:
        return galleries
    for number, label in enumerate(data.study.classes):
        paths = sorted((data.illustrations / "views").glob(f"{number}-*.jpg"))
        captions = ["unaugmented", *(f"augmented view {view}" for view in range(1, len(paths)))]
        photographs = [
            Photograph(f"view-{path.stem}", caption, path.read_bytes())
            for path, caption in zip(paths, captions, strict=False)
        ]
        caption = f"A training image of {label} and its augmented views."
        galleries += [Gallery(caption, photographs)] if photographs else []
    return galleries
