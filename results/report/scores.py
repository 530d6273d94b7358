"""What the test images showed, as numbers for tables and figures, from the predictions alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from concrete_study.results.evaluation import CHECKPOINT_NAMES, final_rows, truth_and_probabilities
from concrete_study.results.statistics import wilson_interval
from concrete_study.results.thresholds import threshold_for_recall

RECALLS = (0.99, 0.999, 1.0)
BINS = 10  # of calibration, equally wide


def stages_table(test: Mapping[str, Any]) -> pd.DataFrame:
    """What training brought: checkpoint, loss (nats), accuracy with its 95 % interval."""
    rows = []
    for checkpoint, scores in test["checkpoints"].items():
        right = round(scores["accuracy"] * test["images"])
        low, high = wilson_interval(right, test["images"])
        rows.append((CHECKPOINT_NAMES[checkpoint], scores["loss"], scores["accuracy"], low, high))
    columns = ["checkpoint", "loss", "accuracy", "accuracy_low", "accuracy_high"]
    return pd.DataFrame(rows, columns=columns)


def report_table(test: Mapping[str, Any]) -> pd.DataFrame:
    """scikit-learn's classification report: class, precision, recall, f1-score, support."""
    names = [*test["classes"], "macro avg", "weighted avg"]
    rows = [{"class": name, **test["report"][name]} for name in names]
    return pd.DataFrame(rows)[["class", "precision", "recall", "f1-score", "support"]]


def confusion_table(test: Mapping[str, Any]) -> pd.DataFrame:
    """Counts: a row per true class, named in `true`, and a column per predicted one."""
    counts = pd.DataFrame(test["confusion_matrix"], columns=test["classes"])
    counts.insert(0, "true", test["classes"], allow_duplicates=True)
    return counts


def roc_points(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Receiver operating characteristic of each sought class against all others.

    Columns: class, threshold, false_positive_rate, true_positive_rate. The sought class of two
    is the last one; of more, each in turn. A class without images on both sides has no rows.
    """
    frames = []
    for name, is_it, probability in _sought(predictions, classes):
        false, true, threshold = roc_curve(is_it, probability)
        columns = {"threshold": threshold, "false_positive_rate": false, "true_positive_rate": true}
        frames.append(pd.DataFrame({"class": name, **columns}))
    names = ["class", "threshold", "false_positive_rate", "true_positive_rate"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=names)


def precision_recall_points(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Precision over recall of each sought class, as in `roc_points`.

    Columns: class, threshold (infinite at the last point, which finds nothing), recall,
    precision.
    """
    frames = []
    for name, is_it, probability in _sought(predictions, classes):
        precision, recall, threshold = precision_recall_curve(is_it, probability)
        columns = {"threshold": [*threshold, np.inf], "recall": recall, "precision": precision}
        frames.append(pd.DataFrame({"class": name, **columns}))
    names = ["class", "threshold", "recall", "precision"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=names)


def roc_area(points: pd.DataFrame) -> float:
    """Area under one class's points of `roc_points`, by trapezoids."""
    return float(np.trapezoid(points["true_positive_rate"], points["false_positive_rate"]))


def average_precision(points: pd.DataFrame) -> float:
    """Area under one class's points of `precision_recall_points`, by steps."""
    return float(-(points["recall"].diff() * points["precision"].shift()).sum())


def areas(roc: pd.DataFrame, precision_recall: pd.DataFrame) -> pd.DataFrame:
    """Areas under the points of both curves.

    Columns: class, roc_auc (trapezoids), average_precision (steps, as scikit-learn's), both in
    [0, 1].
    """
    rows = []
    for name, points in roc.groupby("class", sort=False):
        curve = precision_recall[precision_recall["class"] == name]
        rows.append((name, roc_area(points), average_precision(curve)))
    return pd.DataFrame(rows, columns=["class", "roc_auc", "average_precision"])


def calibration(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """How often the network is right where it says that it is so sure.

    Of two classes, the probability of the last one against how often it was; of more, the
    highest probability against how often its class was right. Bins without images are left
    out.

    Columns: low, high (of the bin), images, probability (mean), share (observed), share_low,
    share_high (its Wilson 95 % interval).
    """
    truth, probabilities = truth_and_probabilities(final_rows(predictions), classes)
    if len(classes) == 2:
        said, hit = probabilities[:, 1], truth == 1
    else:
        said, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    # The clip puts a probability of exactly 1 into the last bin.
    numbers = np.clip((said * BINS).astype(np.int64), 0, BINS - 1)
    rows = []
    for number in range(BINS):
        here = numbers == number
        count, hits = int(here.sum()), int(hit[here].sum())
        if count:
            low, high = wilson_interval(hits, count)
            edges = number / BINS, (number + 1) / BINS
            rows.append((*edges, count, float(said[here].mean()), hits / count, low, high))
    columns = ["low", "high", "images", "probability", "share", "share_low", "share_high"]
    return pd.DataFrame(rows, columns=columns)


def calibration_error(bins: pd.DataFrame) -> float:
    """Expected calibration error in [0, 1]: the mean distance of what was said and what was.

    BatchSource: Guo et al. (2017), "On calibration of modern neural networks".
    """
    distance = (bins["share"] - bins["probability"]).abs()
    return float((distance * bins["images"]).sum() / bins["images"].sum())


def thresholds(
    validation: pd.DataFrame, predictions: pd.DataFrame, classes: Sequence[str]
) -> pd.DataFrame:
    """What it costs on test to find nearly all of the last of two classes on validation.

    Columns: wanted_recall, threshold, and on each of validation and test: found and sought
    (images of the last class), recall, false_alarms (images), false_alarm_rate; the test's
    recall with its Wilson 95 % interval.

    Raises:
        ValueError: If there are not two classes.
    """
    rows = final_rows(predictions)
    is_it = (rows["class"] == classes[1]).to_numpy()
    probability = rows[f"p_{classes[1]}"].to_numpy(np.float64)
    table = []
    for wanted in RECALLS:
        chosen = threshold_for_recall(validation, classes, wanted)
        taken = probability >= chosen.value
        found, alarms = int((taken & is_it).sum()), int((taken & ~is_it).sum())
        sought, others = int(is_it.sum()), int((~is_it).sum())
        low, high = wilson_interval(found, sought) if sought else (np.nan, np.nan)
        table.append(
            {
                "wanted_recall": wanted,
                "threshold": chosen.value,
                "validation_found": round(chosen.recall * chosen.images),
                "validation_sought": chosen.images,
                "validation_false_alarm_rate": chosen.false_alarms,
                "test_found": found,
                "test_sought": sought,
                "test_recall": found / sought if sought else np.nan,
                "test_recall_low": low,
                "test_recall_high": high,
                "test_false_alarms": alarms,
                "test_false_alarm_rate": alarms / others if others else np.nan,
            }
        )
    return pd.DataFrame(table)


def answers(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Each test image's answer, the worst first.

    Columns: file, true, predicted, p_true, p_predicted, margin (between the two highest
    probabilities).
    """
    rows = final_rows(predictions).reset_index(drop=True)
    truth, probabilities = truth_and_probabilities(rows, classes)
    chosen = probabilities.argmax(axis=1)
    ordered = np.sort(probabilities, axis=1)
    each = np.arange(len(rows))
    frame = pd.DataFrame(
        {
            "file": rows["file"],
            "true": rows["class"],
            "predicted": [classes[number] for number in chosen],
            "p_true": probabilities[each, truth],
            "p_predicted": probabilities[each, chosen],
            "margin": ordered[:, -1] - ordered[:, -2] if len(classes) > 1 else 1.0,
        }
    )
    return frame.sort_values("p_true", kind="stable", ignore_index=True)


def _sought(
    predictions: pd.DataFrame, classes: Sequence[str]
) -> list[tuple[str, NDArray[np.bool_], NDArray[np.float64]]]:
    truth, probabilities = truth_and_probabilities(final_rows(predictions), classes)
    numbers = [1] if len(classes) == 2 else range(len(classes))
    found = [(classes[n], truth == n, probabilities[:, n]) for n in numbers]
    return [(name, is_it, p) for name, is_it, p in found if 0 < is_it.sum() < len(is_it)]
