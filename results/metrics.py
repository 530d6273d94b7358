"""Scores of predicted probabilities, and their intervals by the bootstrap over groups.

scikit-learn's definitions, for many weightings of the images at once: 1,000 draws of 10,000 images
take 1.2 s of CPU time. A test compares them with scikit-learn's functions.
"""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from concrete_study.datasets.errors import UsageError
from concrete_study.results.evaluation_records import Estimate, Estimates
from concrete_study.results.positive_class import class_index, find_positive_class
from concrete_study.results.statistics import EPSILON, log_loss

# Scores by the field of `Estimates`, with their labels, in the order in which they are shown.
SCORES = {
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "loss": "log loss",
    "calibration_error": "expected calibration error",
}
BINS = 15  # of the calibration error, equally wide, as Guo et al. (2017) have it
DRAWS = 1000
_CELLS = 1_000_000  # weights at a time: 8 MB, and a few arrays of the same size
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Labels = NDArray[np.integer]


def estimates(
    truth: Labels, probabilities: Floats, positive: int | None, groups: Sequence[str]
) -> Estimates:
    """Every score of `SCORES` with its 95 % interval.

    The interval has the 2.5 and 97.5 percentiles of 1,000 draws of as many groups with
    replacement, without those in which the score is undefined. It is extended to the score
    itself, as draws are less calibrated than the images that they repeat.

    Args:
        truth: The index of each image's class, shape (images,).
        probabilities: Shape (images, classes).
        positive: The index of the positive class; None for the mean over one-vs-rest.
        groups: The group of each image; a group is drawn as a whole.

    Source: Efron and Tibshirani (1993), "An introduction to the bootstrap".
    """
    scores = WeightedScores(truth, probabilities, positive)
    parts = [scores.of(weights) for weights in draw_groups(groups)]
    once = scores.of(np.ones((1, len(truth))))
    once["loss"] = np.array([log_loss(probabilities, truth)])  # to the last bit as for checkpoints
    draws = {name: np.concatenate([part[name] for part in parts]) for name in SCORES}
    found = {name: estimate(float(once[name][0]), draws[name]) for name in SCORES}
    return msgspec.convert(found, Estimates)


def draw_groups(groups: Sequence[str]) -> Iterator[Floats]:
    """Yields 1,000 draws of as many groups with replacement, some at a time.

    Args:
        groups: The group of each image; a group is drawn as a whole.

    Yields:
        How often each image is drawn, shape (draws, images); the same in every call.
    """
    numbers = pd.factorize(np.asarray(groups, dtype=object))[0]
    count, random = int(numbers.max()) + 1, np.random.default_rng(1)
    size = max(_CELLS // len(numbers), 1)
    for start in range(0, DRAWS, size):
        rows = min(size, DRAWS - start)
        drawn = random.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        yield times[:, numbers].astype(np.float64)


def estimate(value: float, draws: Floats) -> Estimate | None:
    """A score with the 2.5 and 97.5 percentiles of its draws; None if it is undefined (NaN)."""
    if np.isnan(value):
        return None
    found = draws[~np.isnan(draws)]
    low, high = np.percentile(found, [2.5, 97.5]) if len(found) else (value, value)
    return Estimate(value=value, low=min(value, float(low)), high=max(value, float(high)))


class WeightedScores:
    """Scores of the same predictions, with any weights of the images.

    Args:
        truth: The index of each image's class, shape (images,).
        probabilities: Shape (images, classes).
        positive: The index of the positive class; None for the mean over one-vs-rest.
    """

    def __init__(self, truth: Labels, probabilities: Floats, positive: int | None) -> None:
        numbers = np.arange(probabilities.shape[1])
        self._rankings = _rankings(truth, probabilities, positive)
        is_true = truth[:, None] == numbers
        is_predicted = probabilities.argmax(axis=1)[:, None] == numbers
        true_class = probabilities[np.arange(len(truth)), truth]
        surprise = -np.log(np.clip(true_class, EPSILON, 1.0))
        probability, outcome = calibrated(truth, probabilities, positive)
        in_bin = bin_numbers(probability)[:, None] == np.arange(BINS)
        distance = in_bin * (probability - outcome)[:, None]
        # All scores but those of the ranking follow from weighted sums of these columns.
        columns = (is_true, is_predicted, is_true & is_predicted, distance, surprise[:, None])
        self._columns: Floats = np.hstack(columns, dtype=np.float64)
        self._ends = np.cumsum([column.shape[1] for column in columns])[:-1]

    def of(self, weights: Floats) -> dict[str, Floats]:
        """Every score of `SCORES` by name, shape (draws,); NaN where it is undefined.

        Args:
            weights: How often each image counts, a whole number, shape (draws, images).
        """
        sums = np.split(weights @ self._columns, self._ends, axis=1)
        support, predicted, correct, distance, surprise = sums
        total, present = weights.sum(axis=1), np.count_nonzero(support, axis=1)
        area, average = _mean_areas(self._rankings, weights)
        with np.errstate(divide="ignore", invalid="ignore"):
            recall, f1 = correct / support, 2 * correct / (support + predicted)
            balanced = np.nansum(recall, axis=1) / np.where(present > 1, present, np.nan)
        return {
            "balanced_accuracy": balanced,
            "macro_f1": np.where(present > 1, np.nan_to_num(f1).mean(axis=1), np.nan),
            "roc_auc": area,
            "average_precision": average,
            "loss": surprise[:, 0] / total,
            "calibration_error": np.abs(distance).sum(axis=1) / total,
        }


class Ranking:
    """Images by their score for one class, the highest first; equal scores share a threshold."""

    def __init__(self, positive: Flags, score: Floats) -> None:
        self.order = np.argsort(-score, kind="stable")
        self.positive = positive[self.order]
        self.starts = np.flatnonzero(np.diff(score[self.order], prepend=np.inf))

    def areas(self, weights: Floats) -> tuple[Floats, Floats]:
        """ROC AUC and average precision of each row; NaN without positives or negatives."""
        both = weights[:, self.order]
        positive = both * self.positive
        if len(self.starts) < len(self.order):
            both = np.add.reduceat(both, self.starts, axis=1)
            positive = np.add.reduceat(positive, self.starts, axis=1)
        above, rank = np.cumsum(positive, axis=1), np.cumsum(both, axis=1)
        positives, negatives = above[:, -1], rank[:, -1] - above[:, -1]
        area = np.einsum("dt,dt->d", both - positive, above - positive / 2)
        average = np.einsum("dt,dt->d", positive, above / np.maximum(rank, 1))
        return area / (positives * negatives), average / positives


def _rankings(truth: Labels, probabilities: Floats, positive: int | None) -> list[Ranking]:
    """Of the positive class, or of each class that has images."""
    shown = range(probabilities.shape[1]) if positive is None else [positive]
    return [Ranking(truth == n, probabilities[:, n]) for n in shown if np.any(truth == n)]


def _mean_areas(rankings: Sequence[Ranking], weights: Floats) -> Floats:
    """Mean ROC AUC and average precision, shape (2, draws), of the classes that have them."""
    areas, defined = np.zeros((2, len(weights))), np.zeros(len(weights))
    with np.errstate(divide="ignore", invalid="ignore"):
        for ranking in rankings:
            area, average = ranking.areas(weights)
            known = ~np.isnan(area)
            areas += np.where(known, (area, average), 0)
            defined += known
        means: Floats = areas / defined
    return means


def calibrated(truth: Labels, probabilities: Floats, positive: int | None) -> tuple[Floats, Flags]:
    """What calibration compares: a probability, and whether it came true, for each image.

    With a positive class its probability, and whether the image is of that class; without one
    the highest probability, and whether the prediction is correct.
    """
    if positive is not None:
        return probabilities[:, positive], truth == positive
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == truth


def bin_numbers(probability: Floats) -> NDArray[np.int64]:
    """The bin of each probability, from 0; one of exactly 1 is in the last, NaN in the first."""
    return np.clip(np.nan_to_num(probability * BINS).astype(np.int64), 0, BINS - 1)


def ranking_scores(
    labels: Labels,
    probabilities: NDArray[np.floating],
    classes: Sequence[str],
    positive_class: str | None,
) -> dict[str, float | None]:
    """The objectives that rank images; None where undefined."""
    positive = class_index(classes, find_positive_class(classes, positive_class))
    rankings = _rankings(labels, probabilities.astype(np.float64), positive)
    area, average = _mean_areas(rankings, np.ones((1, len(labels))))[:, 0]
    return {"val_roc_auc": _defined(area), "val_average_precision": _defined(average)}


def validation_scores(
    labels: Labels,
    probabilities: NDArray[np.floating],
    classes: Sequence[str],
    positive_class: str | None,
) -> dict[str, float | None]:
    """The objectives that rank images or weigh classes equally; None where undefined."""
    support = np.bincount(labels, minlength=len(classes))
    present, correct = np.count_nonzero(support), labels == probabilities.argmax(axis=1)
    recall = np.bincount(labels[correct], minlength=len(classes)) / np.maximum(support, 1)
    balanced = float(recall.sum() / present) if present > 1 else None
    rankings = ranking_scores(labels, probabilities, classes, positive_class)
    return rankings | {"val_balanced_accuracy": balanced}


def macro_f1(labels: Labels, predicted: Labels) -> float:
    """scikit-learn's macro F1 to the last bit, without its 4 to 9 ms for each epoch and fold.

    Args:
        labels: The index of each image's class, shape (images,), at least one.
        predicted: The index of the predicted class, likewise.
    """
    count = int(max(labels.max(), predicted.max())) + 1
    both = np.bincount(labels, minlength=count) + np.bincount(predicted, minlength=count)
    correct, known = np.bincount(labels[labels == predicted], minlength=count), both > 0
    return float((2 * correct[known] / both[known]).mean())


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def ensure_defined(
    objective: str, labels: Labels, classes: Sequence[str], positive_class: str | None
) -> None:
    """Checks that an objective is defined for the classes of the validation images.

    Raises:
        UsageError: If it is not: they lack the positive class, or all other ones.
    """
    same = np.full((len(labels), len(classes)), 1 / len(classes))
    unshifted = objective.replace("shifted_", "")
    if validation_scores(labels, same, classes, positive_class).get(unshifted, 0.0) is None:
        names = ", ".join(classes[number] for number in np.unique(labels))
        raise UsageError(
            f"{objective} is undefined on these validation images.",
            "Expected images of the positive class and of another one; the "
            f"{len(labels)} validation images are all of {names}.",
            "use val_loss, or other validation images.",
            parameter="objective",
        )
