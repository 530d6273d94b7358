"""The scores of a model on test images, computed from predictions.csv alone."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import classification_report, confusion_matrix

from concrete_study.datasets.printing import from_csv_cell
from concrete_study.datasets.splits import SplitRow
from concrete_study.results.diagnosis import diagnose
from concrete_study.results.evaluation_records import ClassScores, Diagnosis, Scores, TestReport
from concrete_study.results.metrics import WeightedScores, estimates
from concrete_study.results.positive_class import class_index, find_positive_class
from concrete_study.results.statistics import log_loss, wilson_interval
from concrete_study.results.stored import damaged, require_described

# The checkpoints that are evaluated, in order, with their labels. The best epoch is the one with
# the best objective; its weights are exported and scored, calibrated unless it was declined.
# A model that is adapted to a site comes after the one that it was.
CHECKPOINT_NAMES = {
    "before_training": "before training",
    "after_phase_1": "after phase 1",
    "after_phase_2": "after phase 2",
    "best": "best epoch",
    "calibrated": "calibrated",
    "unadapted": "before adaptation",
    "adapted": "adapted",
}
CHECKPOINTS = tuple(CHECKPOINT_NAMES)
_TEXT = ("file", "class", "checkpoint")
_GROUP = "group"
_NAMES = ["file", "class", _GROUP]  # which others chose


def read_predictions(path: Path) -> pd.DataFrame:
    """Reads predictions.csv without loss: probabilities bit for bit, class names such as "NA".

    Raises:
        StudyStateError: If the file is damaged; the message names it.
    """
    try:
        require_described(path)
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        for name in table.columns.intersection(_NAMES):
            table[name] = table[name].map(from_csv_cell)
        for name in table.columns.difference([*_TEXT, _GROUP]):
            # Python's float, as pandas' own parser may be off by the last bit.
            table[name] = table[name].map(float)
        _check(table, class_names(table))
    except (OSError, ValueError) as error:  # pandas' parsing errors are ValueErrors, too
        raise damaged(path, str(error).strip(), "a table of predictions") from error
    return table


def class_names(predictions: pd.DataFrame) -> list[str]:
    """The names of the classes, in the model's order."""
    return [name.removeprefix("p_") for name in predictions.columns if name.startswith("p_")]


def prediction_rows(
    files: Sequence[str],
    truth: Sequence[str],
    classes: Sequence[str],
    checkpoints: Mapping[str, NDArray[np.floating]],
    groups: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The table that `evaluate` reads, of probabilities of shape (images, classes)."""
    columns = [f"p_{name}" for name in classes]
    images = {"file": files, "class": truth}
    if groups is not None:
        images[_GROUP] = groups
    parts = [
        pd.DataFrame({**images, "checkpoint": name}).join(pd.DataFrame(values, columns=columns))
        for name, values in checkpoints.items()
    ]
    return pd.concat(parts)


def evaluate(
    predictions: pd.DataFrame, classes: Sequence[str], positive_class: str | None = None
) -> TestReport:
    """Computes every number of the test report.

    The predicted class is the one of the highest probability, a tie going to the first. The
    loss is the mean of -log p(true class) with p clipped to [1e-7, 1], in nats.

    Args:
        predictions: One row per image and checkpoint: file, class (the true one), checkpoint
            (one of `CHECKPOINTS`) and a probability column `p_<class>` for each class; with a
            column group, intervals resample groups, without one, images.
        classes: The names of the classes, in the model's order.
        positive_class: One of them; None as in `find_positive_class`.

    Returns:
        Loss and accuracy of every checkpoint; scores with intervals, classification report and
        confusion matrix of the last one.

    Raises:
        ValueError: If rows are missing, duplicated or malformed; the message lists all faults.
    """
    _check(predictions, classes)
    positive = find_positive_class(classes, positive_class)
    number = class_index(classes, positive)
    checkpoints = {
        name: checkpoint_scores(
            *truth_and_probabilities(predictions[predictions["checkpoint"] == name], classes),
            number,
        )
        for name in _present(predictions)
    }
    final = final_rows(predictions)
    truth, probabilities = truth_and_probabilities(final, classes)
    predicted, groups = probabilities.argmax(axis=1), final[_GROUP if _GROUP in final else "file"]
    report, matrix = _scikit_learn_scores(truth, predicted, classes)
    counts = matrix.sum(axis=1)
    macro, last = _class_scores(report["macro avg"]), list(checkpoints.values())[-1]
    return TestReport(
        images=len(truth),
        classes=list(classes),
        checkpoints=checkpoints,
        accuracy=last.accuracy,
        accuracy_interval=wilson_interval(int((truth == predicted).sum()), len(truth)),
        interval="Wilson 95 %",
        groups=groups.nunique(),
        scores=estimates(truth, probabilities, number, groups.tolist()),
        majority_class=classes[int(counts.argmax())],
        majority_rate=float(counts.max() / len(truth)),
        positive_class=positive,
        by_class={name: _class_scores(report[name]) for name in classes},
        macro_avg=macro,
        weighted_avg=_class_scores(report["weighted avg"]),
        confusion_matrix=matrix.tolist(),
        diagnosis=_diagnosis(truth, probabilities, number),
    )


def _scikit_learn_scores(
    truth: NDArray[np.intp], predicted: NDArray[np.intp], classes: Sequence[str]
) -> tuple[Mapping[str, Mapping[str, float]], NDArray[np.int64]]:
    """Classification report and confusion matrix."""
    labels = range(len(classes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of few images or classes without any
        report = classification_report(
            truth, predicted, labels=labels, target_names=classes, output_dict=True, zero_division=0
        )
        return report, confusion_matrix(truth, predicted, labels=labels)


def _diagnosis(
    truth: NDArray[np.intp], probabilities: NDArray[np.float64], number: int | None
) -> Diagnosis | None:
    if probabilities.shape[1] > 2 or number is None or len(np.unique(truth)) < 2:
        return None
    return diagnose(truth == number, probabilities[:, number])


def clustered_accuracy(
    predictions: pd.DataFrame, classes: Sequence[str], rows: Sequence[SplitRow]
) -> str:
    """Accuracy and confidence interval clustered by group, as near-duplicates are not independent.

    Returns:
        Two sentences; empty if every image is a group of its own, as files not in `rows` are.
    """
    groups = {row.file: row.group for row in rows}
    final = final_rows(predictions)
    truth, probabilities = truth_and_probabilities(final, classes)
    correct_images = pd.Series(probabilities.argmax(axis=1) == truth).groupby(
        [groups.get(file, file) for file in final["file"]]
    )
    if len(correct_images) == len(final):
        return ""
    correct = int(correct_images.all().sum())
    low, high = wilson_interval(correct, len(correct_images))
    return (
        f"The {len(final)} test images form {len(correct_images)} groups (near-duplicates, or "
        "images grouped by name or file). Clustered by group, where a group is correct only if all "
        f"its images are, accuracy is {correct / len(correct_images):.4f} "
        f"(95 % interval {low:.4f} to {high:.4f})."
    )


def final_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last checkpoint that is present, normally the calibrated one."""
    return predictions[predictions["checkpoint"] == _present(predictions)[-1]]


def _present(predictions: pd.DataFrame) -> list[str]:
    """The checkpoints that a table of predictions has, in order."""
    found = set(predictions["checkpoint"])
    return [checkpoint for checkpoint in CHECKPOINTS if checkpoint in found]


def checkpoint_scores(
    truth: NDArray[np.intp], probabilities: NDArray[np.float64], positive: int | None
) -> Scores:
    """The scores of one checkpoint.

    Args:
        truth: The index of each image's class, shape (images,).
        probabilities: Shape (images, classes).
        positive: The index of the positive class, if there is one.
    """
    scores = WeightedScores(truth, probabilities, positive)
    return Scores(
        loss=log_loss(probabilities, truth),
        accuracy=float((probabilities.argmax(axis=1) == truth).mean()),
        calibration_error=float(scores.of(np.ones((1, len(truth))))["calibration_error"][0]),
    )


def _class_scores(row: Mapping[str, float]) -> ClassScores:
    precision, recall, f1 = (float(row[name]) for name in ("precision", "recall", "f1-score"))
    return ClassScores(precision=precision, recall=recall, f1=f1, support=int(row["support"]))


def truth_and_probabilities(
    rows: pd.DataFrame, classes: Sequence[str]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Each row's true class by number, and its probabilities of shape (rows, classes)."""
    truth = pd.Index(classes).get_indexer(pd.Index(rows["class"]))
    return truth, rows[[f"p_{name}" for name in classes]].to_numpy(np.float64)


def _check(predictions: pd.DataFrame, classes: Sequence[str]) -> None:
    needed = [*_TEXT, *(f"p_{name}" for name in classes)]
    missing = [name for name in needed if name not in predictions.columns]
    if missing or predictions.empty or len(classes) < 2:
        raise ValueError(
            f"{len(predictions)} rows of the columns {', '.join(predictions.columns)}; "
            f"expected one row per image and the columns {', '.join(needed)}"
        )
    faults = []
    for column, allowed in (("checkpoint", CHECKPOINTS), ("class", classes)):
        if unknown := sorted(set(predictions[column].astype(str)) - set(allowed)):
            names, expected = ", ".join(unknown[:5]), ", ".join(allowed)
            faults.append(f"unknown {column} {names} (expected {expected})")
    if doubled := int(predictions.duplicated(["file", "checkpoint"]).sum()):
        faults.append(f"{doubled} files occur twice in a checkpoint")
    if predictions.groupby("checkpoint")["file"].agg(frozenset).nunique() > 1:
        faults.append("the checkpoints have different files")
    values = predictions[needed[len(_TEXT) :]].to_numpy(np.float64)
    if wrong := int((~((values >= 0) & (values <= 1 + 1e-3)).all(axis=1)).sum()):
        faults.append(f"a probability is NaN or outside [0, 1] in {wrong} rows")
    if faults:
        raise ValueError(f"predictions that cannot be evaluated: {'; '.join(faults)}")
