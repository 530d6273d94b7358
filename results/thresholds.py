"""From which probability on to call a picture cracked, chosen on validation images."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from concrete_study.results.evaluation import final_rows


class Threshold(NamedTuple):
    """A threshold that finds a wanted part of the last class, and little more."""

    value: float  # probability in [0, 1]; at or above it the last class is predicted
    recall: float  # part of the last class found on the images it was chosen on
    false_alarms: float  # part of the other class taken for the last one
    images: int  # of the last class; with n of them, recalls differ by 1 / n


def threshold_for_recall(
    predictions: pd.DataFrame, classes: Sequence[str], recall: float
) -> Threshold:
    """Chooses a threshold of two classes.

    Args:
        predictions: As `results.evaluation.read_predictions` gives them; its last checkpoint
        counts.
        classes: Two names, in the model's order; the last one is to be found.
        recall: Part of the last class to find, in (0, 1].

    Raises:
        ValueError: If there are not two classes, or `recall` is out of range.
    """
    if len(classes) != 2 or not 0 < recall <= 1:
        raise ValueError(f"Need two classes and a recall in (0, 1]; received {classes}, {recall}.")
    rows = final_rows(predictions)
    sought = (rows["class"] == classes[1]).to_numpy()
    probability = rows[f"p_{classes[1]}"].to_numpy(np.float64)
    ranked = np.sort(probability[sought])[::-1]
    # Rounded first: 0.99 of 300 is 297, not 297.00000000000006.
    last = ranked[max(math.ceil(round(recall * len(ranked), 9)), 1) - 1]
    value = _between(last, probability)
    alarms = float((probability[~sought] >= value).mean())
    return Threshold(value, float((ranked >= value).mean()), alarms, len(ranked))


def _between(last: np.float64, probability: NDArray[np.float64]) -> float:
    """Halfway from the last one found to the next: another runtime's digits move none across."""
    below = probability[probability < last].max(initial=0.0)
    halfway = float((last + below) / 2)
    return halfway if halfway > below else float(last)
