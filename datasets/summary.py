"""What a study begins with: classes with their counts, and warnings about them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain

from concrete_study.datasets.splits import EXTERNAL, SUBSETS, SplitRow

IMBALANCE = 1.5  # largest class / smallest class from which a warning is printed
FEWEST, FEWEST_OF_CLASS = 30, 10  # images of a subset below which a warning is printed


def describe_classes(rows: Sequence[SplitRow], classes: Sequence[str]) -> list[str]:
    """One line for each class, then warnings of imbalance and of tiny validation and test sets."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts[row.label][row.subset] += 1
    lines = []
    for label in classes:
        names = [name for name in (*SUBSETS, EXTERNAL) if name in SUBSETS or counts[label][name]]
        parts = ", ".join(f"{counts[label][name]} {name}" for name in names)
        lines.append(f"class {label}: {counts[label].total()} images ({parts})")
    own = {label: counts[label].total() - counts[label][EXTERNAL] for label in classes}
    tiny = [
        _tiny({label: counts[label][subset] for label in classes}, subset, what)
        for subset, what in (
            ("validation", "the choice of the best trial"),
            ("test", "test scores"),
        )
    ]
    return [*lines, *imbalance(own), *chain(*tiny)]


def imbalance(counts: Mapping[str, int]) -> list[str]:
    """A warning if classes differ much in size, with the accuracy of the majority class."""
    largest, smallest = max(counts, key=lambda c: counts[c]), min(counts, key=lambda c: counts[c])
    if counts[largest] <= IMBALANCE * counts[smallest]:
        return []
    share = counts[largest] / sum(counts.values())
    return [
        f"Warning: imbalanced classes: {counts[largest]} images of {largest}, {counts[smallest]} "
        f"of {smallest}; predicting {largest} for every image has accuracy {share:.4f}."
    ]


def _tiny(images: Mapping[str, int], subset: str, uncertain: str) -> list[str]:
    """A warning if a subset has few images of a class, with what is uncertain for it."""
    total, fewest = sum(images.values()), min(images, key=lambda label: images[label])
    if total >= FEWEST and images[fewest] >= FEWEST_OF_CLASS:
        return []
    return [
        f"Warning: only {total} {subset} images, {images[fewest]} of class {fewest}: {uncertain} "
        f"will be uncertain; at least {FEWEST}, and {FEWEST_OF_CLASS} of each class, are "
        "recommended."
    ]
