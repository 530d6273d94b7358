"""Folds for cross-validation: grouped and stratified, over training and validation images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from concrete_study.datasets.errors import DataError


class Fold(NamedTuple):
    """Row numbers of the images that train and that validate in one fold."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]


def make_folds(
    labels: NDArray[np.int32], groups: Sequence[str], *, folds: int, seed: int
) -> list[Fold]:
    """Divides images into folds; a group never straddles two.

    Args:
        labels: Class of each image, shape (images,).
        groups: Group of each image.
        folds: At least 2.
        seed: Decides which groups are together.

    Raises:
        DataError: If a class has fewer groups than there are folds, so that a fold would train or
            validate without it.
    """
    names = np.asarray(groups)
    fewest = min(len(set(names[labels == label])) for label in set(labels.tolist()))
    if fewest < folds:
        raise DataError(
            f"{folds} folds are too many for these images.",
            f"Expected at least {folds} groups of each class; a class has {fewest}.",
            "fewer folds, or a single split (0 folds).",
            parameter="folds",
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return [
        Fold(train, validation)
        for train, validation in splitter.split(np.zeros(len(labels)), labels, names)
    ]
