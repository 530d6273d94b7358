"""Thresholds of the positive class, chosen on validation images and evaluated on test images."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from concrete_study.results.evaluation import final_rows
from concrete_study.results.statistics import wilson_interval

RECALLS = (0.99, 0.999, 1.0)


class Threshold(NamedTuple):
    """The highest threshold that reaches a given recall of the positive class."""

    value: float  # probability in [0, 1]; at or above it the positive class is predicted
    recall: float  # on the images that the threshold was chosen on
    false_positive_rate: float  # on the same images; NaN if all are of the positive class
    images: int  # positive ones; with n of them, recall changes in steps of 1 / n


def threshold_for_recall(
    predictions: pd.DataFrame, positive_class: str, recall: float
) -> Threshold:
    """Chooses a threshold on the last checkpoint of some predictions.

    Args:
        predictions: From `read_predictions`.
        positive_class: Its name; all other classes are the negatives.
        recall: Recall to reach, in (0, 1].

    Raises:
        ValueError: If `recall` is out of range, or no image is of the positive class.
    """
    rows = final_rows(predictions)
    positive = (rows["class"] == positive_class).to_numpy()
    if not 0 < recall <= 1 or not positive.any():
        raise ValueError(
            f"Need a recall in (0, 1] and images of {positive_class}; received {recall} and "
            f"{positive.sum()} images."
        )
    probability = rows[f"p_{positive_class}"].to_numpy(np.float64)
    ranked = np.sort(probability[positive])[::-1]
    # Rounded first: 0.99 of 300 is 297, not 297.00000000000006.
    last = ranked[max(math.ceil(round(recall * len(ranked), 9)), 1) - 1]
    # Halfway to the next lower probability, so that rounding of other runtimes is harmless.
    lower = probability[probability < last].max(initial=0.0)
    halfway = float((last + lower) / 2)
    value = halfway if halfway > lower else float(last)
    others = probability[~positive]
    false_positive_rate = float((others >= value).mean()) if len(others) else math.nan
    return Threshold(value, float((ranked >= value).mean()), false_positive_rate, len(ranked))


def thresholds(
    validation: pd.DataFrame, predictions: pd.DataFrame, positive_class: str
) -> pd.DataFrame:
    """Thresholds chosen on validation for a target recall of the positive class, and tested.

    Columns: target_recall, threshold; on validation: true_positives, positives,
    false_positive_rate; on test: true_positives, positives, recall with its 95 % Wilson interval,
    false_positives, false_positive_rate.

    Raises:
        ValueError: If no validation image is of the positive class.
    """
    rows = final_rows(predictions)
    positive = (rows["class"] == positive_class).to_numpy()
    probability = rows[f"p_{positive_class}"].to_numpy(np.float64)
    positives, negatives = int(positive.sum()), int((~positive).sum())
    table = []
    for target in RECALLS:
        chosen = threshold_for_recall(validation, positive_class, target)
        predicted = probability >= chosen.value
        true, false = int((predicted & positive).sum()), int((predicted & ~positive).sum())
        low, high = wilson_interval(true, positives) if positives else (np.nan, np.nan)
        row = {
            "target_recall": target,
            "threshold": chosen.value,
            "validation_true_positives": round(chosen.recall * chosen.images),
            "validation_positives": chosen.images,
            "validation_false_positive_rate": chosen.false_positive_rate,
            "test_true_positives": true,
            "test_positives": positives,
            "test_recall": true / positives if positives else np.nan,
            "test_recall_low": low,
            "test_recall_high": high,
            "test_false_positives": false,
            "test_false_positive_rate": false / negatives if negatives else np.nan,
        }
        table.append(row)
    return pd.DataFrame(table)
