"""The test results as tables for the report, computed from the predictions alone."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePath

import numpy as np
import pandas as pd
from msgspec.structs import asdict, astuple
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from concrete_study.datasets.splits import EXTERNAL
from concrete_study.results.evaluation import (
    CHECKPOINT_NAMES,
    final_rows,
    truth_and_probabilities,
)
from concrete_study.results.evaluation_records import EvaluationRecord, RetrainingRecord, TestReport
from concrete_study.results.metrics import BINS, SCORES, bin_numbers, calibrated
from concrete_study.results.positive_class import class_index, find_positive_class
from concrete_study.results.statistics import wilson_interval
from concrete_study.results.tables import score_columns

MANY_CLASSES = 20  # from here on the top confusions replace the confusion matrix
TOP_CONFUSIONS = 20
WORST_CLASSES = 10


def classification_table(test: TestReport) -> pd.DataFrame:
    """scikit-learn's classification report: class, precision, recall, f1-score, support."""
    averages = {"macro avg": test.macro_avg, "weighted avg": test.weighted_avg}
    rows = [{"class": n, **asdict(row)} for n, row in [*test.by_class.items(), *averages.items()]]
    return pd.DataFrame(rows).rename(columns={"f1": "f1-score"})


def scores_table(test: TestReport) -> pd.DataFrame:
    """The scores of `results.metrics`: score, value, value_low and value_high (95 %)."""
    found = [(label, getattr(test.scores, name)) for name, label in SCORES.items()]
    rows = [(label, *astuple(one)) if one else (label,) for label, one in found]
    return pd.DataFrame(rows, columns=["score", "value", "value_low", "value_high"])


def confusion_table(test: TestReport) -> pd.DataFrame:
    """Counts: one row per true class, named in `true`, and one column per predicted class."""
    counts = pd.DataFrame(test.confusion_matrix, columns=test.classes)
    counts.insert(0, "true", test.classes, allow_duplicates=True)
    return counts


def top_confusions(counts: pd.DataFrame, most: int = TOP_CONFUSIONS) -> pd.DataFrame:
    """The most frequent misclassifications of `confusion_table`: true, predicted, images."""
    classes, matrix = counts["true"].tolist(), counts.iloc[:, 1:].to_numpy(np.int64, copy=True)
    np.fill_diagonal(matrix, 0)
    order = np.argsort(-matrix, axis=None, kind="stable")[: min(most, np.count_nonzero(matrix))]
    cells = [divmod(int(cell), len(classes)) for cell in order]
    rows = [(classes[true], classes[other], int(matrix[true, other])) for true, other in cells]
    return pd.DataFrame(rows, columns=["true", "predicted", "images"])


def readable_report(test: TestReport) -> str:
    """The classification report and the confusion matrix as plain text.

    Of many classes, the worst ones and the top confusions.
    """
    if len(test.classes) >= MANY_CLASSES:
        return _report_of_many(test)
    report = classification_table(test).set_index("class")
    counts = (
        confusion_table(test).set_index("true").add_prefix("predicted ").rename("true {}".format)
    )
    tables = (table.rename_axis(index=None) for table in (report.drop("weighted avg"), counts))
    return "\n\n".join(table.to_string(float_format="{:.4f}".format) for table in tables) + "\n"


def _report_of_many(test: TestReport) -> str:
    report = classification_table(test).set_index("class").rename_axis(index=None)
    classes, macro = report.iloc[: len(test.classes)], report.loc[["macro avg"]]
    worst = classes[classes["support"] > 0].sort_values("f1-score", kind="stable")
    shown = pd.concat([worst.head(WORST_CLASSES), macro])
    confusions = top_confusions(confusion_table(test), WORST_CLASSES)
    note = (
        f"The {len(shown) - 1} of {len(test.classes)} classes with the lowest F1; `by_class` and "
        "`confusion_matrix` in metrics.json have all."
    )
    parts = [shown.to_string(float_format="{:.4f}".format), note]
    if len(confusions):
        parts += ["Most frequent confusions:", confusions.to_string(index=False)]
    return "\n\n".join(parts) + "\n"


def checkpoints_table(test: TestReport) -> pd.DataFrame:
    """Columns: checkpoint, loss (nats), accuracy (95 % Wilson interval), calibration error."""
    rows = [
        (
            CHECKPOINT_NAMES[checkpoint],
            scores.loss,
            scores.accuracy,
            *wilson_interval(round(scores.accuracy * test.images), test.images),
            scores.calibration_error,
        )
        for checkpoint, scores in test.checkpoints.items()
    ]
    accuracy = ["accuracy", "accuracy_low", "accuracy_high"]
    columns = ["checkpoint", "loss", *accuracy, "calibration_error"]
    return pd.DataFrame(rows, columns=columns)


def by_dataset_table(
    retraining: RetrainingRecord, evaluations: Sequence[EvaluationRecord]
) -> pd.DataFrame:
    """Scores on parts of the test images and on external test sets.

    Columns: dataset (the folder's name), subset (test or external), images, accuracy,
    accuracy_low, accuracy_high (Wilson 95 %), the scores of `score_columns`, the positive_class
    that they are of, and predictions (the file in the study's folder that has them).
    """
    files = {"test": "best/predictions.csv", EXTERNAL: "best/external.csv"}
    tests = [(p.dataset, p.subset, p.test, files[p.subset]) for p in retraining.by_dataset]
    tests += [
        (name, EXTERNAL, found.test, f"evaluations/{found.folder}/predictions.csv")
        for name, found in zip(evaluation_names(evaluations), evaluations, strict=True)
    ]
    rows = [
        {
            "dataset": name,
            "subset": subset,
            "images": test.images,
            "accuracy": test.accuracy,
            "accuracy_low": test.accuracy_interval[0],
            "accuracy_high": test.accuracy_interval[1],
            **score_columns(test),
            "positive_class": test.positive_class,
            "predictions": file,
        }
        for name, subset, test, file in tests
    ]
    return pd.DataFrame(rows)


def evaluation_names(evaluations: Sequence[EvaluationRecord]) -> list[str]:
    """Folder names of external test sets; of several evaluations of one, also what differs."""
    counts = Counter(found.fingerprint for found in evaluations)
    names = []
    for found in evaluations:
        given = [f"{old}={new}" for old, new in found.class_map.items()]
        if found.labels:
            given.append(f"labels of {PurePath(found.labels).name}")
        if found.test.positive_class is not None:
            given.append(f"positive class {found.test.positive_class}")
        variant = f" ({', '.join(given)})" if counts[found.fingerprint] > 1 else ""
        names.append(f"{PurePath(found.data).name}{variant}")
    return names


def roc_points(
    predictions: pd.DataFrame, classes: Sequence[str], positive_class: str | None = None
) -> pd.DataFrame:
    """The ROC curve of each positive class against all others.

    The positive class is that of `find_positive_class`, or, without one, each in turn. A class
    without images on both sides has no rows.

    Columns: class, threshold, false_positive_rate, true_positive_rate, roc_auc (of the curve).
    """
    columns = ["class", "threshold", "false_positive_rate", "true_positive_rate", "roc_auc"]
    rows: list[tuple[object, ...]] = []
    for name, positive, probability in _positives(predictions, classes, positive_class):
        fpr, tpr, threshold = roc_curve(positive, probability)
        area = roc_auc_score(positive, probability)
        rows += [(name, *point, area) for point in zip(threshold, fpr, tpr, strict=True)]
    return pd.DataFrame(rows, columns=columns)


def precision_recall_points(
    predictions: pd.DataFrame, classes: Sequence[str], positive_class: str | None = None
) -> pd.DataFrame:
    """The precision-recall curve of each positive class, as in `roc_points`.

    Columns: class, threshold (infinite at the last point, of recall 0), recall, precision,
    average_precision (of the curve).
    """
    columns = ["class", "threshold", "recall", "precision", "average_precision"]
    rows: list[tuple[object, ...]] = []
    for name, positive, probability in _positives(predictions, classes, positive_class):
        precision, recall, threshold = precision_recall_curve(positive, probability)
        points = zip([*threshold, np.inf], recall, precision, strict=True)
        average = average_precision_score(positive, probability)
        rows += [(name, *point, average) for point in points]
    return pd.DataFrame(rows, columns=columns)


def calibration(
    predictions: pd.DataFrame, classes: Sequence[str], positive_class: str | None = None
) -> pd.DataFrame:
    """The reliability diagram in `BINS` equally wide bins; bins without images are left out.

    With a positive class, its probability and the fraction of images of that class; without one,
    the highest probability and the fraction of correct predictions.

    Columns: low, high (of the bin), images, mean_predicted_probability, fraction_of_positives,
    fraction_low, fraction_high (its 95 % Wilson interval).
    """
    truth, probabilities = truth_and_probabilities(final_rows(predictions), classes)
    index = class_index(classes, find_positive_class(classes, positive_class))
    probability, positive = calibrated(truth, probabilities, index)
    bins, rows = bin_numbers(probability), []
    for number in np.unique(bins):
        chosen = bins == number
        count, positives = int(chosen.sum()), int(positive[chosen].sum())
        edges, mean = (number / BINS, (number + 1) / BINS), float(probability[chosen].mean())
        rows.append((*edges, count, mean, positives / count, *wilson_interval(positives, count)))
    columns = ["low", "high", "images", "mean_predicted_probability", "fraction_of_positives"]
    return pd.DataFrame(rows, columns=[*columns, "fraction_low", "fraction_high"])


def image_predictions(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The prediction for each test image, by the probability of its true class, lowest first.

    Columns: file, true, predicted, p_true, p_predicted, margin (between the two highest
    probabilities).
    """
    rows = final_rows(predictions)
    truth, probabilities = truth_and_probabilities(rows, classes)
    predicted = probabilities.argmax(axis=1)
    ordered, each = np.sort(probabilities, axis=1), np.arange(len(rows))
    frame = rows[["file", "class"]].rename(columns={"class": "true"})
    frame["predicted"] = np.array(classes)[predicted]
    frame["p_true"], frame["p_predicted"] = probabilities[each, truth], ordered[:, -1]
    frame["margin"] = ordered[:, -1] - ordered[:, -2]
    return frame.sort_values("p_true", kind="stable", ignore_index=True)


def misclassified(images: pd.DataFrame) -> pd.DataFrame:
    """The misclassified images of `image_predictions`, the most confident first."""
    return images[images["true"] != images["predicted"]].reset_index(drop=True)


def least_confident(images: pd.DataFrame, most: int) -> pd.DataFrame:
    """The correctly classified images with the smallest margin, at most `most`."""
    correct = images[images["true"] == images["predicted"]]
    return correct.sort_values("margin", kind="stable", ignore_index=True).head(most)


def _positives(
    predictions: pd.DataFrame, classes: Sequence[str], positive_class: str | None
) -> Iterator[tuple[str, NDArray[np.bool_], NDArray[np.float64]]]:
    """Each positive class, which images are of it, and their probabilities of it."""
    truth, probabilities = truth_and_probabilities(final_rows(predictions), classes)
    name = find_positive_class(classes, positive_class)
    for number in range(len(classes)) if name is None else [list(classes).index(name)]:
        positive = truth == number
        if 0 < positive.sum() < len(positive):
            yield classes[number], positive, probabilities[:, number]
