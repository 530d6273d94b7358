"""The test results as tables for the report, computed from the predictions alone."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from msgspec.structs import asdict
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from concrete_study.results.evaluation import CHECKPOINT_NAMES, final_rows, truth_and_probabilities
from concrete_study.results.records import TestReport
from concrete_study.results.statistics import wilson_interval
from concrete_study.results.thresholds import threshold_for_recall

RECALLS = (0.99, 0.999, 1.0)
BINS = 10  # of the reliability diagram, equally wide


def checkpoints_table(test: TestReport) -> pd.DataFrame:
    """Columns: checkpoint, loss (nats), accuracy with its 95 % Wilson interval."""
    rows = []
    for checkpoint, scores in test.checkpoints.items():
        low, high = wilson_interval(round(scores.accuracy * test.images), test.images)
        rows.append((CHECKPOINT_NAMES[checkpoint], scores.loss, scores.accuracy, low, high))
    columns = ["checkpoint", "loss", "accuracy", "accuracy_low", "accuracy_high"]
    return pd.DataFrame(rows, columns=columns)


def classification_table(test: TestReport) -> pd.DataFrame:
    """scikit-learn's classification report: class, precision, recall, f1-score, support."""
    averages = {"macro avg": test.macro_avg, "weighted avg": test.weighted_avg}
    rows = [{"class": n, **asdict(row)} for n, row in [*test.by_class.items(), *averages.items()]]
    return pd.DataFrame(rows).rename(columns={"f1": "f1-score"})


def confusion_table(test: TestReport) -> pd.DataFrame:
    """Counts: one row per true class, named in `true`, and one column per predicted class."""
    counts = pd.DataFrame(test.confusion_matrix, columns=test.classes)
    counts.insert(0, "true", test.classes, allow_duplicates=True)
    return counts


def roc_points(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The ROC curve of each positive class against all others.

    Columns: class, threshold, false_positive_rate, true_positive_rate, roc_auc (of the curve).
    The positive class of two is the last one; of more, each in turn. A class without images on
    both sides has no rows.
    """
    columns = ["class", "threshold", "false_positive_rate", "true_positive_rate", "roc_auc"]
    frames = [pd.DataFrame(columns=columns)]
    for name, positive, probability in _positives(predictions, classes):
        fpr, tpr, threshold = roc_curve(positive, probability)
        points = {"threshold": threshold, "false_positive_rate": fpr, "true_positive_rate": tpr}
        area = roc_auc_score(positive, probability)
        frames.append(pd.DataFrame({"class": name, **points, "roc_auc": area}))
    return pd.concat(frames[1:] or frames, ignore_index=True)


def precision_recall_points(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The precision-recall curve of each positive class, as in `roc_points`.

    Columns: class, threshold (infinite at the last point, of recall 0), recall, precision,
    average_precision (of the curve).
    """
    columns = ["class", "threshold", "recall", "precision", "average_precision"]
    frames = [pd.DataFrame(columns=columns)]
    for name, positive, probability in _positives(predictions, classes):
        precision, recall, threshold = precision_recall_curve(positive, probability)
        points = {"threshold": [*threshold, np.inf], "recall": recall, "precision": precision}
        average = average_precision_score(positive, probability)
        frames.append(pd.DataFrame({"class": name, **points, "average_precision": average}))
    return pd.concat(frames[1:] or frames, ignore_index=True)


def areas(roc: pd.DataFrame, precision_recall: pd.DataFrame) -> pd.DataFrame:
    """Columns: class, roc_auc, average_precision, both in [0, 1]."""
    averages = precision_recall.groupby("class", sort=False)["average_precision"].first()
    areas = roc.groupby("class", sort=False)["roc_auc"].first()
    return pd.concat([areas, averages], axis=1).reset_index()


def calibration(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The reliability diagram in `BINS` equally wide bins; bins without images are left out.

    With two classes, the probability of the last one and the fraction of images of that class;
    with more, the highest probability and the fraction of correct predictions.

    Columns: low, high (of the bin), images, mean_predicted_probability, fraction_of_positives,
    fraction_low, fraction_high (its 95 % Wilson interval).
    """
    truth, probabilities = truth_and_probabilities(final_rows(predictions), classes)
    if len(classes) == 2:
        probability, positive = probabilities[:, 1], truth == 1
    else:
        probability = probabilities.max(axis=1)
        positive = probabilities.argmax(axis=1) == truth
    # The clip puts a probability of exactly 1 into the last bin.
    bins = np.clip((probability * BINS).astype(np.int64), 0, BINS - 1)
    rows = []
    for number in np.unique(bins):
        chosen = bins == number
        count, positives = int(chosen.sum()), int(positive[chosen].sum())
        edges, mean = (number / BINS, (number + 1) / BINS), float(probability[chosen].mean())
        interval = wilson_interval(positives, count)
        rows.append((*edges, count, mean, positives / count, *interval))
    columns = ["low", "high", "images", "mean_predicted_probability", "fraction_of_positives"]
    return pd.DataFrame(rows, columns=[*columns, "fraction_low", "fraction_high"])


def thresholds(
    validation: pd.DataFrame, predictions: pd.DataFrame, classes: Sequence[str]
) -> pd.DataFrame:
    """Thresholds chosen on validation for a target recall of the last of two classes, and tested.

    Columns: target_recall, threshold; on validation: true_positives, positives,
    false_positive_rate; on test: true_positives, positives, recall with its 95 % Wilson interval,
    false_positives, false_positive_rate.

    Raises:
        ValueError: If there are not two classes.
    """
    rows = final_rows(predictions)
    positive = (rows["class"] == classes[1]).to_numpy()
    probability = rows[f"p_{classes[1]}"].to_numpy(np.float64)
    positives, negatives = int(positive.sum()), int((~positive).sum())
    table = []
    for target in RECALLS:
        chosen = threshold_for_recall(validation, classes, target)
        predicted = probability >= chosen.value
        true, false = int((predicted & positive).sum()), int((predicted & ~positive).sum())
        low, high = wilson_interval(true, positives) if positives else (np.nan, np.nan)
        table.append(
            {
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
        )
    return pd.DataFrame(table)


def image_predictions(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The prediction for each test image, by the probability of its true class, lowest first.

    Columns: file, true, predicted, p_true, p_predicted, margin (between the two highest
    probabilities).
    """
    rows = final_rows(predictions).reset_index(drop=True)
    truth, probabilities = truth_and_probabilities(rows, classes)
    predicted = probabilities.argmax(axis=1)
    ordered = np.sort(probabilities, axis=1)
    each = np.arange(len(rows))
    frame = pd.DataFrame(
        {
            "file": rows["file"],
            "true": rows["class"],
            "predicted": [classes[number] for number in predicted],
            "p_true": probabilities[each, truth],
            "p_predicted": probabilities[each, predicted],
            "margin": ordered[:, -1] - ordered[:, -2] if len(classes) > 1 else 1.0,
        }
    )
    return frame.sort_values("p_true", kind="stable", ignore_index=True)


def misclassified(images: pd.DataFrame) -> pd.DataFrame:
    """The misclassified images of `image_predictions`, the most confident first."""
    return images[images["true"] != images["predicted"]].reset_index(drop=True)


def least_confident(images: pd.DataFrame, most: int) -> pd.DataFrame:
    """The correctly classified images with the smallest margin, at most `most`."""
    correct = images[images["true"] == images["predicted"]]
    return correct.sort_values("margin", kind="stable", ignore_index=True).head(most)


def _positives(
    predictions: pd.DataFrame, classes: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.bool_], NDArray[np.float64]]]:
    """Each positive class, which images are of it, and their probabilities of it."""
    truth, probabilities = truth_and_probabilities(final_rows(predictions), classes)
    for number in [1] if len(classes) == 2 else range(len(classes)):
        positive = truth == number
        if 0 < positive.sum() < len(positive):
            yield classes[number], positive, probabilities[:, number]
