"""What a study begins with: classes with their counts, and warnings about them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from concrete_study.datasets.splits import EXTERNAL, SUBSETS, SplitRow

IMBALANCE = 1.5  # largest class / smallest class from which a warning is printed
FEWEST_TEST, FEWEST_OF_CLASS = 30, 10  # test images below which a warning is printed


def describe_classes(rows: Sequence[SplitRow], classes: Sequence[str]) -> list[str]:
    """One line for each class, then warnings of imbalance and of tiny test sets."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts[row.label][row.subset] += 1
    lines = []
    for label in classes:
        names = [name for name in (*SUBSETS, EXTERNAL) if name in SUBSETS or counts[label][name]]
        parts = ", ".join(f"{counts[label][name]} {name}" for name in names)
        lines.append(f"class {label}: {counts[label].total()} images ({parts})")
    own = {label: counts[label].total() - counts[label][EXTERNAL] for label in classes}
    return [*lines, *imbalance(own), *_tiny({label: counts[label]["test"] for label in classes})]


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


def _tiny(test: Mapping[str, int]) -> list[str]:
    total, fewest = sum(test.values()), min(test, key=lambda label: test[label])
    if total >= FEWEST_TEST and test[fewest] >= FEWEST_OF_CLASS:
        return []
    return [
        f"Warning: only {total} test images, {test[fewest]} of class {fewest}: test scores will be "
        f"uncertain; at least {FEWEST_TEST}, and {FEWEST_OF_CLASS} of each class, are recommended."
    ]
