"""Folds for cross-validation: grouped and stratified, over training and validation images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from concrete_study.datasets.errors import DataError
from concrete_study.datasets.splits import SplitRow


class Fold(NamedTuple):
    """Row numbers of the images that train and that validate in one fold."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]


def groups_by_label(rows: Sequence[SplitRow]) -> dict[str, set[str]]:
    """The groups of each class; an image without a group is one of its own."""
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row.label, set()).add(row.group or row.sha256)
    return found


def make_folds(rows: Sequence[SplitRow], *, folds: int, seed: int) -> list[Fold]:
    """Divides images into folds; a group never straddles two.

    Args:
        rows: The training and validation images.
        folds: At least 2.
        seed: Decides which groups are together.

    Raises:
        DataError: If a class has fewer groups than there are folds, so that a fold would train or
            validate without it.
    """
    fewest, label = min((len(groups), label) for label, groups in groups_by_label(rows).items())
    if fewest < folds:
        raise DataError(
            f"{folds} folds are too many for these images.",
            f"Expected at least {folds} groups of each class; {label} has {fewest}.",
            "fewer folds, or 0 for a single split.",
            parameter="folds",
        )
    labels, groups = [row.label for row in rows], [row.group or row.sha256 for row in rows]
    return split_groups(labels, groups, folds=folds, seed=seed)


def split_groups(
    labels: Sequence[str] | NDArray[np.int64], groups: Sequence[str], *, folds: int, seed: int
) -> list[Fold]:
    """Divides images of these labels into stratified folds; a group never straddles two.

    Args:
        labels: Of each image.
        groups: Of each image; every label has at least `folds` of them.
        folds: At least 2.
        seed: Decides which groups are together.
    """
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return [Fold(*numbers) for numbers in splitter.split(np.zeros(len(labels)), labels, groups)]
