"""`study predict`: the retrained model on any files."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concrete_study.cli.arguments import ModelOption

if TYPE_CHECKING:
    from concrete_study.models.classifier import Classifier
    from concrete_study.results.folder import StudyFolder
    from concrete_study.study.prediction import Prediction


class Lines(StrEnum):
    """How predictions are printed, each as soon as it is there."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def predict_command(
    paths: Annotated[
        list[str], typer.Argument(help="Files, folders, patterns; - reads names from stdin.")
    ],
    study: ModelOption = None,
    format: Annotated[
        Lines, typer.Option("--format", "-f", help="csv and json keep every digit.")
    ] = Lines.TABLE,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Probability of the last class to call it.")
    ] = None,
    recall: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Threshold that finds this part on validation images."),
    ] = None,
    explain: Annotated[
        Path | None, typer.Option(help="New folder for Grad-CAM overlays, one PNG per row.")
    ] = None,
) -> None:
    """Classify photographs: one row each, a faulty file too.

    Example: study predict photographs --recall 0.99 --format csv > answers.csv
    """
    from concrete_study.cli.model import open_model

    if explain is not None:
        _require_empty(explain)
    found, classes = open_model(study)
    threshold = _threshold(found, classes, threshold, recall)

    from concrete_study.models.classifier import Classifier
    from concrete_study.models.devices import memory_errors
    from concrete_study.models.export import KERAS_FILE
    from concrete_study.study.prediction import expand, predict_files

    classifier = Classifier(found.best_path / KERAS_FILE)
    rows = predict_files(classifier, expand(paths), classes, threshold=threshold)
    if explain is not None:
        rows = _explained(rows, classifier, classes, explain)
    counts: Counter[str] = Counter()
    with memory_errors():
        _print(_counted(rows, counts), classes, format)
    _tell_counts(counts)


def _threshold(
    study: "StudyFolder", classes: list[str], threshold: float | None, recall: float | None
) -> float | None:
    from concrete_study.datasets.errors import StudyStateError, UsageError
    from concrete_study.results.evaluation import read_predictions
    from concrete_study.results.thresholds import threshold_for_recall

    if threshold is not None and recall is not None:
        raise UsageError("--threshold and --recall exclude each other.")
    if (threshold is not None or recall is not None) and len(classes) != 2:
        raise UsageError(
            f"a threshold needs two classes; {study.name} has {len(classes)}.",
            hint="study predict without --threshold and --recall takes the most probable class.",
        )
    if recall is None:
        return threshold
    if recall == 0:
        raise UsageError("--recall 0 finds nothing.", "Expected a part above 0, at most 1.")
    if not study.validation_path.exists():
        raise StudyStateError(
            f"study {study.name} has no validation predictions.",
            f"Expected {study.validation_path}.",
            f"study best {study.name} --retrain",
        )
    chosen = threshold_for_recall(read_predictions(study.validation_path), classes, recall)
    typer.echo(
        f"Threshold {chosen.value:.6f}: on the validation images it finds {chosen.recall:.2%} of "
        f"{chosen.images} {classes[1]} and takes {chosen.false_positive_rate:.2%} of {classes[0]} "
        "for it.",
        err=True,
    )
    if chosen.images * (1 - recall) < 1:
        cannot = f"cannot tell {recall:.4g} from 1" if recall < 1 else "are no proof of all"
        typer.echo(
            f"Warning: {chosen.images} images {cannot}; on others it may find fewer.",
            err=True,
        )
    return chosen.value


def _require_empty(folder: Path) -> None:
    from concrete_study.datasets.errors import UsageError

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"--explain {folder} holds something.",
            "Expected a new or empty folder: overlays are numbered as the rows are, from 0.",
            "another folder.",
        )


def _explained(
    rows: Iterable["Prediction"], classifier: "Classifier", classes: list[str], folder: Path
) -> Iterator["Prediction"]:
    """Writes an overlay for each image as it passes, for the class that was predicted."""
    from concrete_study.study.explanation import explain_image

    for number, row in enumerate(rows):
        if not row.error:
            # Numbered, as files of several folders may share a name.
            to = folder / f"{number:06}-{Path(row.file).stem}.png"
            explain_image(classifier, Path(row.file), to, target=classes.index(row.predicted))
        yield row


def _counted(rows: Iterable["Prediction"], counts: Counter[str]) -> Iterator["Prediction"]:
    """Counts the answers as they pass; a file without one is counted under ""."""
    for row in rows:
        counts[row.predicted] += 1
        yield row


def _tell_counts(counts: Counter[str]) -> None:
    """Says how many files have which answer; those without are easily overlooked among thousands.

    Raises:
        DataError: If none has one.
    """
    from concrete_study.datasets.errors import DataError

    faulty = counts.pop("", 0)
    if not counts:
        found = f"only files that cannot be read ({faulty})" if faulty else "none"
        raise DataError(
            "nothing was classified.", f"Expected JPEG, PNG or BMP files; found {found}."
        )
    answers = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    typer.echo(f"{counts.total()} files classified: {answers}.", err=True)
    if faulty:
        typer.echo(
            f"Warning: {faulty} of {counts.total() + faulty} files could not be classified; their "
            "rows say why.",
            err=True,
        )


def _print(rows: Iterable["Prediction"], classes: list[str], format: Lines) -> None:
    names = ["file", "predicted", *(f"p_{name}" for name in classes), "error"]
    blanks = ("",) * len(classes)
    if format is Lines.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            writer.writerow([row.file, row.predicted, *(row.probabilities or blanks), row.error])
    elif format is Lines.JSON:
        separator = "["
        for row in rows:
            p = row.probabilities or (None,) * len(classes)
            values = [row.file, row.predicted or None, *p, row.error or None]
            print(separator, json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False))
            separator = ","
        print("[]" if separator == "[" else "]")
    else:
        width = max(len(name) for name in classes)
        for row in rows:
            pairs = zip(classes, row.probabilities, strict=False)  # a faulty file has none
            shown = "  ".join(f"{name} {value:.4f}" for name, value in pairs) or row.error
            print(f"{row.predicted or 'error':<{width}}  {shown}  {row.file}", flush=True)
