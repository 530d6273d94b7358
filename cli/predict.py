"""`study predict`: predictions of the retrained model for any files."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concrete_study.cli.arguments import ModelOption, PositiveOption

if TYPE_CHECKING:
    from concrete_study.models.classifier import Classifier
    from concrete_study.results.model_folder import ModelFolder
    from concrete_study.study.prediction import Prediction

_MOST_CLASSES = 10  # in a line of the table


class RowFormat(StrEnum):
    """How predictions are printed, row by row."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def predict_command(
    paths: Annotated[
        list[str], typer.Argument(help="Files, folders or patterns; - reads names from stdin.")
    ],
    study: ModelOption = None,
    format: Annotated[
        RowFormat,
        typer.Option("--format", "-f", help="Output format; csv and json keep all digits."),
    ] = RowFormat.TABLE,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Probability from which the positive class is predicted."),
    ] = None,
    recall: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Use the threshold with this recall on validation images."),
    ] = None,
    positive_class: PositiveOption = None,
    max_megapixels: Annotated[
        float | None,
        typer.Option(help="Largest image that is read.", show_default="as in the study"),
    ] = None,
    explain: Annotated[
        Path | None, typer.Option(help="New folder for Grad-CAM overlays, one PNG per image.")
    ] = None,
) -> None:
    """Predict the class of images.

    Prints one row per file, also for files that cannot be read.

    Example: study predict photographs --recall 0.99 --format csv > predictions.csv
    """
    from concrete_study.cli.model import open_model
    from concrete_study.datasets.decoding import limit_pixels
    from concrete_study.results.positive_class import find_positive_class

    if explain is not None:
        _ensure_empty(explain)
    found, classes = open_model(study)
    manifest = found.study.manifest()
    limit_pixels(manifest.options.max_megapixels if max_megapixels is None else max_megapixels)
    positive = find_positive_class(classes, positive_class or manifest.positive_class)
    threshold = _threshold(found, positive, threshold, recall)

    from concrete_study.models.classifier import Classifier
    from concrete_study.models.devices import memory_errors
    from concrete_study.models.export import KERAS_FILE
    from concrete_study.study.image_paths import expand
    from concrete_study.study.prediction import predict_files

    classifier = Classifier(found.path / KERAS_FILE)
    rows = predict_files(
        classifier, expand(paths), classes, threshold=threshold, positive_class=positive
    )
    if explain is not None:
        rows = _with_overlays(rows, classifier, classes, explain)
    counts: Counter[str] = Counter()
    with memory_errors():
        _print(_counting(rows, counts), classes, format)
    _log_counts(counts)


def _threshold(
    model: "ModelFolder", positive: str | None, threshold: float | None, recall: float | None
) -> float | None:
    from concrete_study.datasets.errors import UsageError

    if threshold is not None and recall is not None:
        raise UsageError("--threshold and --recall cannot be combined.")
    if (threshold is None and recall is None) or positive is None:
        if threshold is not None or recall is not None:
            raise UsageError(
                f"a threshold needs a positive class; study {model.study.name} has none.",
                hint="--positive-class NAME, or leave out --threshold and --recall to predict the "
                "most probable class.",
            )
        return None
    return threshold if recall is None else _threshold_of_recall(model, positive, recall)


def _threshold_of_recall(model: "ModelFolder", positive: str, recall: float) -> float:
    from concrete_study.datasets.errors import StudyStateError, UsageError
    from concrete_study.results.evaluation import final_rows, read_predictions
    from concrete_study.results.thresholds import threshold_for_recall

    if recall == 0:
        raise UsageError("0 is too small.", "Expected a recall in (0, 1].", parameter="recall")
    path, images = (
        model.thresholds_path,
        "validation images" if model.site is None else "site's images",
    )
    if not path.exists():
        raise StudyStateError(
            f"study {model.name} has no predictions to choose a threshold by.",
            f"Expected {path}.",
            f"study best {model.study.name} --retrain",
        )
    validation = read_predictions(path)
    if not (final_rows(validation)["class"] == positive).any():
        raise UsageError(
            f"none of the {images} is of class {positive}.",
            "Expected at least one to choose a threshold by.",
            "--threshold",
            parameter="recall",
        )
    chosen = threshold_for_recall(validation, positive, recall)
    typer.echo(
        f"Threshold {chosen.value:.6f}: on the {images}, recall {chosen.recall:.2%} "
        f"({chosen.images} {positive}), false positive rate {chosen.false_positive_rate:.2%}.",
        err=True,
    )
    if chosen.images * (1 - recall) < 1:
        typer.echo(
            f"Warning: {chosen.images} {positive} images are too few to estimate a "
            f"recall of {recall:.4g}; it may be lower on other images.",
            err=True,
        )
    return chosen.value


def _ensure_empty(folder: Path) -> None:
    from concrete_study.datasets.errors import UsageError

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} is not empty.",
            "Expected a new or empty folder.",
            "another folder.",
            parameter="explain",
        )


def _with_overlays(
    rows: Iterable["Prediction"], classifier: "Classifier", classes: list[str], folder: Path
) -> Iterator["Prediction"]:
    """Passes rows on and writes an overlay of the predicted class for each image."""
    from concrete_study.study.explanation import explain_image

    for number, row in enumerate(rows):
        if not row.error:
            # Row numbers: files in different folders may have the same name.
            # Cut: a name may have 255 bytes.
            to = folder / f"{number:06}-{Path(row.file).stem[:48]}.png"
            explain_image(classifier, Path(row.file), to, target=classes.index(row.predicted))
        yield row


def _counting(rows: Iterable["Prediction"], counts: Counter[str]) -> Iterator["Prediction"]:
    """Passes rows on and counts predicted classes; unreadable files count as ""."""
    for row in rows:
        counts[row.predicted] += 1
        yield row


def _log_counts(counts: Counter[str]) -> None:
    """Prints the number of files per predicted class, and of unreadable files.

    Raises:
        DataError: If no file was classified.
    """
    from concrete_study.datasets.errors import DataError

    faulty = counts.pop("", 0)
    if not counts:
        found = f"only files that cannot be read ({faulty})" if faulty else "none"
        raise DataError(
            "No file was classified.", f"Expected images such as JPEG or PNG; found {found}."
        )
    predicted = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    typer.echo(f"{counts.total()} files classified: {predicted}.", err=True)
    if faulty:
        typer.echo(
            f"Warning: {faulty} of {counts.total() + faulty} files could not be read; see their "
            "rows.",
            err=True,
        )


def _print(rows: Iterable["Prediction"], classes: list[str], format: RowFormat) -> None:
    from concrete_study.results.formats import one_line, printable

    names = ["file", "predicted", *(f"p_{name}" for name in classes), "error"]
    blanks = ("",) * len(classes)
    if format is RowFormat.TABLE:
        width = max(len(name) for name in classes)
        for row in rows:
            shown = _probabilities(row, classes) or one_line(row.error)
            name = one_line(row.file)
            print(f"{row.predicted or 'error':<{width}}  {shown}  {name}", flush=True)
        return
    valid = (row._replace(file=printable(row.file), error=printable(row.error)) for row in rows)
    if format is RowFormat.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        for row in valid:
            writer.writerow([row.file, row.predicted, *(row.probabilities or blanks), row.error])
        return
    separator = "["
    for row in valid:
        p = row.probabilities or (None,) * len(classes)
        values = [row.file, row.predicted or None, *p, row.error or None]
        print(separator, json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False))
        separator = ","
    print("[]" if separator == "[" else "]")


def _probabilities(row: "Prediction", classes: list[str]) -> str:
    """Each class with its probability, of many classes the highest; empty for an error."""
    pairs = list(zip(classes, row.probabilities, strict=False))
    if len(pairs) > _MOST_CLASSES:
        pairs = sorted(pairs, key=lambda pair: -pair[1])[:_MOST_CLASSES]
    return "  ".join(f"{name} {value:.4f}" for name, value in pairs)
