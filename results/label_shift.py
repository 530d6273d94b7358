"""Class proportions of unlabelled images, and whether they explain how predictions differ."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import ks_2samp

Floats = NDArray[np.floating]
LEVEL = 0.05
_ROUNDS, _CLOSE, _LEAST = 1000, 1e-6, 1e-3


class ClassShares(NamedTuple):
    """Estimated proportions of the classes among unlabelled images.

    Attributes:
        by_maximum: Maximum likelihood by expectation maximisation, (classes,); sums to 1.
        by_confusion: From predicted classes and the confusion matrix of the validation images
            (black-box shift estimation), (classes,); sums to 1.
        p_value: That the unlabelled images are validation images in these proportions; small if
            they differ in more than the proportions.
    """

    by_maximum: NDArray[np.float64]
    by_confusion: NDArray[np.float64]
    p_value: float

    @property
    def is_trusted(self) -> bool:
        """Whether only the proportions of the classes seem to differ."""
        return self.p_value >= LEVEL


def estimate_shares(
    probabilities: Floats, validation: Floats, labels: NDArray[np.integer]
) -> ClassShares:
    """Estimates the proportions of the classes.

    Args:
        probabilities: Of the unlabelled images, shape (images, classes).
        validation: Of validation images, whose proportions the model has learned.
        labels: The index of each validation image's class; every class occurs.

    Source: Saerens et al., "Adjusting the outputs of a classifier to new a priori probabilities",
    Neural Computation 2002; Lipton et al., "Detecting and correcting for label shift with black
    box predictors", ICML 2018.
    """
    classes = validation.shape[1]
    prior = np.bincount(labels, minlength=classes) / len(labels)
    shares = prior
    for _ in range(_ROUNDS):
        weighted = probabilities * (shares / prior)
        new = (weighted / weighted.sum(axis=1, keepdims=True)).mean(axis=0)
        done, shares = np.abs(new - shares).max() < _CLOSE, new
        if done:
            break
    predicted = np.bincount(probabilities.argmax(axis=1), minlength=classes) / len(probabilities)
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (validation.argmax(axis=1), labels), 1 / len(labels))
    ratios = nnls(confusion, predicted)[0] * prior
    by_confusion = ratios / ratios.sum() if ratios.sum() else prior
    return ClassShares(
        np.maximum(shares, _LEAST) / np.maximum(shares, _LEAST).sum(),
        by_confusion,
        _p_value(probabilities, validation, labels, shares / prior),
    )


def _p_value(
    probabilities: Floats,
    validation: Floats,
    labels: NDArray[np.integer],
    ratios: NDArray[np.float64],
) -> float:
    """Two-sample Kolmogorov-Smirnov tests of each class's probability, corrected by Bonferroni."""
    weights = ratios[labels]
    random = np.random.default_rng(1)
    drawn = validation[random.choice(len(labels), len(labels), p=weights / weights.sum())]
    columns = range(1 if validation.shape[1] == 2 else validation.shape[1])
    values = [float(ks_2samp(probabilities[:, n], drawn[:, n]).pvalue) for n in columns]
    return min(1.0, len(values) * min(values))
