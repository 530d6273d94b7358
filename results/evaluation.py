"""The scores of a model on test images, computed from predictions.csv alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import classification_report, confusion_matrix

from concrete_study.datasets.splits import SplitRow
from concrete_study.results.records import ClassScores, Scores, TestReport
from concrete_study.results.statistics import log_loss, wilson_interval
from concrete_study.results.stored import damaged

# The checkpoints that are evaluated, in order, with their labels. The best epoch is the one with
# the best objective: its weights are exported and scored.
CHECKPOINT_NAMES = {
    "before_training": "before training",
    "after_phase_1": "after phase 1",
    "after_phase_2": "after phase 2",
    "best": "best epoch",
}
CHECKPOINTS = tuple(CHECKPOINT_NAMES)
_TEXT = ("file", "class", "checkpoint")


def read_predictions(path: Path) -> pd.DataFrame:
    """Reads predictions.csv without loss: probabilities bit for bit, class names such as "NA".

    Raises:
        StudyStateError: If the file is damaged; the message names it.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        for name in table.columns.difference(list(_TEXT)):
            # Python's float, as pandas' own parser may be off by the last bit.
            table[name] = table[name].map(float)
        _require_rows(table)
    except (OSError, ValueError) as error:  # pandas' parsing errors are ValueErrors
        raise damaged(path, str(error).strip(), "a table of predictions") from error
    return table


def _require_rows(table: pd.DataFrame) -> None:
    classes = [name for name in table.columns if name.startswith("p_")]
    missing = [name for name in _TEXT if name not in table.columns]
    if missing or len(classes) < 2 or table.empty:
        raise ValueError(f"it has {len(table)} rows of the columns {', '.join(table.columns)}")
    unknown = sorted(set(table["checkpoint"]) - set(CHECKPOINTS))
    if unknown or not np.isfinite(table[classes].to_numpy(np.float64)).all():
        raise ValueError(
            f"it has the checkpoint {unknown[0]}" if unknown else "a probability is NaN"
        )


def prediction_rows(
    files: Sequence[str],
    truth: Sequence[str],
    classes: Sequence[str],
    checkpoints: Mapping[str, NDArray[np.floating]],
) -> pd.DataFrame:
    """The table that `evaluate` reads.

    Args:
        files: Each image's file.
        truth: Each image's class.
        classes: The names of the classes, in the model's order.
        checkpoints: By checkpoint, probabilities of shape (images, classes).
    """
    columns = [f"p_{name}" for name in classes]
    return pd.concat(
        [
            pd.DataFrame({"file": files, "class": truth, "checkpoint": checkpoint}).join(
                pd.DataFrame(probabilities, columns=columns)
            )
            for checkpoint, probabilities in checkpoints.items()
        ]
    )


def evaluate(predictions: pd.DataFrame, classes: Sequence[str]) -> TestReport:
    """Computes every number of the test report.

    The predicted class is the one of the highest probability, a tie going to the first. The
    loss is the mean of -log p(true class) with p clipped to [1e-7, 1], in nats.

    Args:
        predictions: One row per image and checkpoint: file, class (the true one), checkpoint
            (one of `CHECKPOINTS`) and a probability column `p_<class>` for each class.
        classes: The names of the classes, in the model's order.

    Returns:
        Loss and accuracy of every checkpoint; confidence interval, classification report and
        confusion matrix of the last one.

    Raises:
        ValueError: If rows are missing, duplicated or malformed; the message lists all faults.
    """
    _check(predictions, classes)
    present = [
        checkpoint for checkpoint in CHECKPOINTS if (predictions["checkpoint"] == checkpoint).any()
    ]
    checkpoints = {
        checkpoint: _scores(predictions[predictions["checkpoint"] == checkpoint], classes)
        for checkpoint in present
    }
    final = final_rows(predictions)
    truth, probabilities = truth_and_probabilities(final, classes)
    predicted = probabilities.argmax(axis=1)
    labels = range(len(classes))
    report = classification_report(
        truth, predicted, labels=labels, target_names=classes, output_dict=True, zero_division=0
    )
    macro = _class_scores(report["macro avg"])
    return TestReport(
        images=len(final),
        classes=list(classes),
        checkpoints=checkpoints,
        loss=checkpoints[present[-1]].loss,
        accuracy=checkpoints[present[-1]].accuracy,
        accuracy_interval=wilson_interval(int((truth == predicted).sum()), len(final)),
        interval="Wilson 95 %",
        macro_f1=macro.f1,
        by_class={name: _class_scores(report[name]) for name in classes},
        macro_avg=macro,
        weighted_avg=_class_scores(report["weighted avg"]),
        confusion_matrix=confusion_matrix(truth, predicted, labels=labels).tolist(),
    )


def clustered_accuracy(
    predictions: pd.DataFrame, classes: Sequence[str], rows: Sequence[SplitRow]
) -> str:
    """Accuracy and confidence interval clustered by group, as near-duplicates are not independent.

    Args:
        predictions: As `evaluate` takes them.
        classes: The names of the classes, in the model's order.
        rows: Of split.csv; a file that is not in it is a group of its own.

    Returns:
        Two sentences; empty if every image is a group of its own.
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
    """The rows of the last checkpoint that is present, normally the best one."""
    present = [
        checkpoint for checkpoint in CHECKPOINTS if (predictions["checkpoint"] == checkpoint).any()
    ]
    return predictions[predictions["checkpoint"] == present[-1]]


def readable_report(test: TestReport) -> str:
    """The classification report and the confusion matrix as plain text."""
    rows = test.by_class | {"macro avg": test.macro_avg}
    report = pd.DataFrame({name: msgspec.structs.asdict(row) for name, row in rows.items()}).T
    report = report.rename(columns={"f1": "f1-score"}).astype({"support": int})
    counts = pd.DataFrame(
        test.confusion_matrix,
        index=[f"true {name}" for name in test.classes],
        columns=[f"predicted {name}" for name in test.classes],
    )
    return f"{report.to_string(float_format='{:.4f}'.format)}\n\n{counts.to_string()}\n"


def _scores(rows: pd.DataFrame, classes: Sequence[str]) -> Scores:
    truth, probabilities = truth_and_probabilities(rows, classes)
    return Scores(
        loss=log_loss(probabilities, truth),
        accuracy=float((probabilities.argmax(axis=1) == truth).mean()),
    )


def _class_scores(row: Mapping[str, float]) -> ClassScores:
    return ClassScores(
        precision=float(row["precision"]),
        recall=float(row["recall"]),
        f1=float(row["f1-score"]),
        support=int(row["support"]),
    )


def truth_and_probabilities(
    rows: pd.DataFrame, classes: Sequence[str]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Each row's true class by number, and its probabilities of shape (rows, classes)."""
    truth = pd.Index(classes).get_indexer(pd.Index(rows["class"]))
    return truth, rows[[f"p_{name}" for name in classes]].to_numpy(np.float64)


def _check(predictions: pd.DataFrame, classes: Sequence[str]) -> None:
    needed = [*_TEXT, *(f"p_{name}" for name in classes)]
    missing = [name for name in needed if name not in predictions.columns]
    if missing or predictions.empty:
        raise ValueError(
            f"Predictions need a row per image and the columns {', '.join(needed)}; received "
            f"{len(predictions)} rows without {', '.join(missing) or 'any missing column'}."
        )
    faults = [
        *_unknown(predictions, "checkpoint", CHECKPOINTS),
        *_unknown(predictions, "class", classes),
    ]
    doubled = int(predictions.duplicated(["file", "checkpoint"]).sum())
    if doubled:
        faults.append(f"{doubled} files occur twice in a checkpoint")
    files = {frozenset(names) for _, names in predictions.groupby("checkpoint")["file"]}
    if len(files) > 1:
        faults.append("the checkpoints have different files")
    values = predictions[needed[len(_TEXT) :]].to_numpy(np.float64)
    wrong = int((~((values >= 0) & (values <= 1 + 1e-3)).all(axis=1)).sum())
    if wrong:
        faults.append(f"{wrong} rows have a probability outside [0, 1] or NaN")
    if faults:
        raise ValueError(f"The predictions cannot be evaluated: {'; '.join(faults)}.")


def _unknown(predictions: pd.DataFrame, column: str, allowed: Sequence[str]) -> list[str]:
    unknown = sorted(set(predictions[column].astype(str)) - set(allowed))
    names = ", ".join(unknown[:5])
    return [f"unknown {column} {names} (expected {', '.join(allowed)})"] if unknown else []
