"""Confidence intervals of the reported numbers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, sem, t

# Keras' epsilon: its cross-entropy clips probabilities here, so a certain error costs 16.1 nats.
EPSILON = 1e-7


class Interval(NamedTuple):
    """A confidence interval, low <= high."""

    low: float
    high: float


def log_loss(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Mean of -log p(true class) in nats, with p clipped to [1e-7, 1].

    Args:
        probabilities: Shape (images, classes).
        labels: The index of each image's class, shape (images,).
    """
    true_class = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(true_class, EPSILON, 1.0), dtype=np.float64).mean())


def wilson_interval(correct: int, total: int, *, level: float = 0.95) -> Interval:
    """Confidence interval of an accuracy, safe at 0 and 100 %.

    Args:
        correct: Correct predictions, 0 <= correct <= total.
        total: Test images, at least 1.
        level: Coverage in (0, 1).

    Returns:
        Lower and upper bound in [0, 1].

    Raises:
        ValueError: If `total` is below 1, or `correct` or `level` is out of range.

    Source: Wilson (1927), "Probable inference, the law of succession, and
    statistical inference".
    """
    if total < 1 or not 0 <= correct <= total:
        raise ValueError(
            f"Need 0 <= correct <= total and total >= 1; received {correct} of {total}."
        )
    if not 0 < level < 1:
        raise ValueError(f"The level must lie between 0 and 1; received {level}.")
    interval = binomtest(correct, total).proportion_ci(confidence_level=level, method="wilson")
    return Interval(float(interval.low), float(interval.high))


def mean_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Confidence interval of a mean by Student's t; the mean itself if all values are equal.

    Raises:
        ValueError: If there are fewer than 2 values.
    """
    if len(values) < 2:
        raise ValueError(f"An interval needs at least 2 values; received {len(values)}.")
    mean, error = float(np.mean(values)), float(sem(values))
    if error == 0:
        return Interval(mean, mean)
    low, high = t.interval(level, len(values) - 1, loc=mean, scale=error)
    return Interval(float(low), float(high))
