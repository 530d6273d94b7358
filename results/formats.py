"""Any table as text: for programs with every digit, for people rounded."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from concrete_study.datasets.errors import UsageError
from concrete_study.datasets.printing import (
    csv_cell,
    csv_quoting,
    in_json,
    in_latex,
    in_markdown,
    one_line,
    printable,
)
from concrete_study.results.hyperparameters import by_name

FORMATS = ("csv", "json", "markdown", "latex")
# Columns of losses: below this value they print in scientific notation, as four decimals tie.
_SMALL_LOSS = 0.001
_LOSSES = ("score", "best", "target")
_P_VALUES = ("p_value", "p", "p_corrected")


def render(frame: pd.DataFrame, style: str, *, transposed: bool = False) -> str:
    """A table as text that ends with a line break.

    CSV and JSON keep every digit, one row per study or trial; Markdown and LaTeX are rounded
    for reading.

    Args:
        frame: Any table of this package.
        style: One of `FORMATS`.
        transposed: In Markdown and LaTeX, print the rows as columns.

    Raises:
        UsageError: If the format is unknown.
    """
    if style == "csv":
        return csv_text(frame)
    if style == "json":
        plain = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
        return in_json(json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)) + "\n"
    if style == "markdown":
        shown = readable(frame, transposed=transposed)
        return markdown_table(list(shown.columns), shown.to_numpy().tolist())
    if style == "latex":
        latex = readable(frame, transposed=transposed).to_latex(index=False, escape=True)
        return "".join(map(in_latex, latex.splitlines(keepends=True)))
    raise UsageError(
        f"{style!r} is unknown.", f"Expected one of {', '.join(FORMATS)}.", parameter="format"
    )


def csv_text(frame: pd.DataFrame) -> str:
    """A table as CSV with every digit; names are written as by `csv_cell`."""
    safe = frame.rename(columns=lambda name: csv_cell(str(name)))
    texts = list(safe.columns)
    for position in range(safe.shape[1]):
        column = safe.iloc[:, position]
        if column.dtype.kind not in "biuf":
            cells = [csv_cell(cell) if isinstance(cell, str) else cell for cell in column]
            # As objects: strings of PyArrow would refuse a file name that is not UTF-8, and so
            # would an array of objects, which pandas converts. pandas-stubs lacks series here.
            objects = pd.Series(cells, index=safe.index, dtype=object)
            safe.isetitem(position, objects)  # type: ignore[arg-type]
            texts += cells
    return printable(safe.to_csv(index=False, lineterminator="\n", quoting=csv_quoting(texts)))


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in GitHub's Markdown; a `|` in a cell is escaped, which tabulate does not do."""
    cells = [
        [in_markdown(one_line(str(cell))).replace("|", r"\|") for cell in row]
        for row in (head, *rows)
    ]
    cells.insert(1, ["---"] * len(head))
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def readable(frame: pd.DataFrame, *, transposed: bool = False) -> pd.DataFrame:
    """The same table as text for people: rounded numbers, headings in words, blanks empty.

    An interval, in columns that end in _low and _high, follows its score in brackets; a standard
    error follows it after ±.

    Args:
        frame: Any table of this package.
        transposed: Turn rows into columns, headed by the first column.
    """
    columns = {_heading(name): _texts(frame, name) for name in shown_columns(frame)}
    shown = pd.DataFrame(columns, dtype=object)
    if not transposed:
        return shown
    first = shown.columns[0]
    turned = shown.set_index(first).T
    # A study may have the name of the first column.
    turned.insert(0, first, turned.index, allow_duplicates=True)
    return turned.reset_index(drop=True)


def shown_columns(frame: pd.DataFrame) -> list[str]:
    """The columns of a table that `readable` has: all but bounds and standard errors."""
    names = [str(name) for name in frame.columns]
    joined = {bound for name in names for bound in _bounds(name) if set(_bounds(name)) <= {*names}}
    joined |= {_error(name) for name in names}
    return [name for name in names if name not in joined]


def number(value: float, decimals: int = 4) -> str:
    """A rounded number; one that would round to zero prints in scientific notation.

    Zero never has a sign: -0.0 prints as `0.0000`.
    """
    if value and abs(value) < 0.5 * 10**-decimals:
        return scientific(value)
    return f"{value + 0.0:.{decimals}f}"


def plus_minus(value: float, error: float | None, decimals: int = 4) -> str:
    """A rounded number with its standard error if there is one, e.g. "0.0712 ± 0.0034"."""
    text = number(value, decimals)
    return text if error is None else f"{text} ± {number(error, decimals)}"


def scientific(value: float) -> str:
    """Two significant digits, e.g. `5.0e-5`."""
    return f"{value:.1e}".replace("e-0", "e-")


def counted(number: int, noun: str) -> str:
    """A number with its noun, e.g. "1 trial", "30 trials"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time in words, e.g. "45 s", "2 min 05 s" or "3 h 07 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _bounds(column: str) -> tuple[str, str]:
    return f"{column}_low", f"{column}_high"


def _error(column: str) -> str:
    """The column of a column's standard errors."""
    return "standard_error" if column == "score" else f"{column}_standard_error"


def _texts(frame: pd.DataFrame, column: str) -> list[str]:
    """A column as text, with its interval or standard error if the table has one."""
    texts = [_cell(column, value) for value in frame[column]]
    if _error(column) in frame:
        errors = [_cell(column, value) for value in frame[_error(column)]]
        return [f"{a} ± {b}" if a and b else a for a, b in zip(texts, errors, strict=True)]
    if not set(_bounds(column)) <= {*frame.columns}:
        return texts
    low, high = ([_cell(column, value) for value in frame[bound]] for bound in _bounds(column))
    each = zip(texts, low, high, strict=True)
    return [f"{text} ({a} to {b})" if a and b else text for text, a, b in each]


def _heading(column: str) -> str:
    if column in (known := by_name()):
        return known[column].short
    # "seconds" would be wrong above "4 min 47 s".
    if column in ("seconds", "by_seconds"):
        column = column.replace("seconds", "time")
    return one_line(column).replace("_", " ").replace(" f1", " F1").replace("roc auc", "ROC AUC")


def _cell(column: str, value: Any) -> str:
    if pd.isna(value):
        return ""
    if column == "seconds":
        return duration(value)
    if column == "created":
        return str(value)[:16].replace("T", " ")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if column in (known := by_name()):
        return known[column].text(value)
    if not isinstance(value, float):
        return one_line(str(value))
    if column in _P_VALUES and value < 0.0001:
        return "<0.0001"
    if column == "threshold":  # of a confident network it lies near 0 or 1
        return f"{value:.4g}"
    if 0 < abs(value) < _SMALL_LOSS and ("loss" in column or column in _LOSSES):
        return scientific(value)
    return number(value)
