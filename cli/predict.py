"""`study predict`: predictions of the retrained model for any files."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concrete_study.cli.arguments import ClusterOption, ModelOption, PositiveOption, WorkersOption
from concrete_study.cli.output import echo, write_data

if TYPE_CHECKING:
    from concrete_study.study.prediction import Prediction
    from concrete_study.study.reporting import ProgressOption

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
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
) -> None:
    """Predict the class of images.

    Prints one row per file, also for files that cannot be read.

    Example: study predict photographs --recall 0.99 --format csv > predictions.csv
    """
    from concrete_study.cli.model import open_model
    from concrete_study.study.output_paths import ensure_empty

    if explain is not None:
        ensure_empty(explain)
    model = open_model(study)
    rows = model.predict_rows(
        paths,
        threshold=threshold,
        recall=recall,
        positive_class=positive_class,
        max_megapixels=max_megapixels,
        explain=explain,
        workers=workers,
        cluster=cluster,
        progress=_progress(),
    )
    counts: Counter[str] = Counter()
    _print(_counting(rows, counts), model.classes, format)
    _log_counts(counts)


def _progress() -> "ProgressOption":
    """Shows progress, except that of rows which are printed on a terminal."""
    from concrete_study.search.progress import SearchProgress

    class Messages(SearchProgress):
        def log(self, message: str) -> None:
            echo(message, err=True)

    return Messages() if sys.stdout.isatty() else True


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
    echo(f"{counts.total()} files classified: {predicted}.", err=True)
    if faulty:
        echo(
            f"Warning: {faulty} of {counts.total() + faulty} files could not be read; see their "
            "rows.",
            err=True,
        )


def _print(rows: Iterable["Prediction"], classes: list[str], format: RowFormat) -> None:
    from concrete_study.datasets.printing import csv_row, in_json, one_line, printable

    names = ["file", "predicted", *(f"p_{name}" for name in classes), "error"]
    blanks = ("",) * len(classes)
    if format is RowFormat.TABLE:
        width = max(len(one_line(name)) for name in classes)
        for row in rows:
            shown = _probabilities(row, classes) or row.error
            line = f"{one_line(row.predicted) or 'error':<{width}}  {shown}  {row.file}"
            print(one_line(line), flush=True)
        return
    if format is RowFormat.CSV:
        write_data(csv_row(names))
        for row in rows:
            cells = row.probabilities or blanks
            write_data(csv_row([printable(row.file), row.predicted, *cells, printable(row.error)]))
        return
    separator = "["
    for row in rows:
        p = row.probabilities or (None,) * len(classes)
        values = [printable(row.file), row.predicted or None, *p, printable(row.error) or None]
        named = dict(zip(names, values, strict=True))
        print(separator, in_json(json.dumps(named, ensure_ascii=False)))
        separator = ","
    print("[]" if separator == "[" else "]")


def _probabilities(row: "Prediction", classes: list[str]) -> str:
    """Each class with its probability, of many classes the highest; empty for an error."""
    pairs = list(zip(classes, row.probabilities, strict=False))
    if len(pairs) > _MOST_CLASSES:
        pairs = sorted(pairs, key=lambda pair: -pair[1])[:_MOST_CLASSES]
    return "  ".join(f"{name} {value:.4f}" for name, value in pairs)
