"""Decision threshold of a binary classifier, chosen on validation images."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from concrete_study.results.evaluation import final_rows


class Threshold(NamedTuple):
    """The highest threshold that reaches a given recall of the positive (last) class."""

    value: float  # probability in [0, 1]; at or above it the positive class is predicted
    recall: float  # on the images that the threshold was chosen on
    false_positive_rate: float  # on the same images
    images: int  # positive ones; with n of them, recall changes in steps of 1 / n


def threshold_for_recall(
    predictions: pd.DataFrame, classes: Sequence[str], recall: float
) -> Threshold:
    """Chooses a threshold of two classes.

    Args:
        predictions: From `results.evaluation.read_predictions`; the last checkpoint is used.
        classes: Two names, in the model's order; the last one is the positive class.
        recall: Recall to reach, in (0, 1].

    Raises:
        ValueError: If there are not two classes, or `recall` is out of range.
    """
    if len(classes) != 2 or not 0 < recall <= 1:
        raise ValueError(f"Need two classes and a recall in (0, 1]; received {classes}, {recall}.")
    rows = final_rows(predictions)
    positive = (rows["class"] == classes[1]).to_numpy()
    probability = rows[f"p_{classes[1]}"].to_numpy(np.float64)
    ranked = np.sort(probability[positive])[::-1]
    # Rounded first: 0.99 of 300 is 297, not 297.00000000000006.
    last = ranked[max(math.ceil(round(recall * len(ranked), 9)), 1) - 1]
    value = _between(last, probability)
    false_positive_rate = float((probability[~positive] >= value).mean())
    return Threshold(value, float((ranked >= value).mean()), false_positive_rate, len(ranked))


def _between(last: np.float64, probability: NDArray[np.float64]) -> float:
    """Halfway to the next lower probability, so that rounding of other runtimes is harmless."""
    lower = probability[probability < last].max(initial=0.0)
    halfway = float((last + lower) / 2)
    return halfway if halfway > lower else float(last)
