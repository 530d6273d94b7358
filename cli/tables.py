"""Printing tables: the option --format of several commands, and tables on a terminal."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from concrete_study.cli.output import write_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pandas import DataFrame

# Columns; without a terminal no value is shortened or wrapped.
_UNBOUNDED = 10_000


class Format(StrEnum):
    """How a table is printed; all but `table` are for other programs and documents."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"
    LATEX = "latex"


FormatOption = Annotated[
    Format, typer.Option("--format", "-f", help="Output format; csv and json keep all digits.")
]


def print_frame(
    frame: "DataFrame",
    format: Format,
    title: str,
    *,
    columns: "Sequence[str] | None" = None,
    separated: str = "",
    transposed: bool = False,
) -> None:
    """Prints a table on stdout.

    Args:
        frame: A table of `results`.
        format: How to print it.
        title: Heading, for format `table`.
        columns: The columns of format `table`, None for all; other formats have all columns.
        separated: A column of format `table`; an empty line separates its different values.
        transposed: Print rows as columns, for few rows of many values.
    """
    from concrete_study.datasets.printing import for_terminal
    from concrete_study.results.formats import readable, render, shown_columns

    if format is not Format.TABLE:
        write_data(render(frame, format.value, transposed=transposed))
        return
    title = for_terminal(title)
    frame = frame[list(columns)] if columns is not None else frame
    shown = readable(frame, transposed=transposed)
    if transposed:
        numeric = [False, *[True] * len(frame)]
    else:
        numeric = [frame[name].dtype.kind in "iuf" for name in shown_columns(frame)]
        shown.columns = [str(name).replace(" ", "\n") for name in shown.columns]  # 80 columns
    ends = [False] * len(shown)
    if separated:
        ends = (shown[separated] != shown[separated].shift(-1)).tolist()
    _print_table(shown, title, numeric, ends)


def _print_table(
    shown: "DataFrame", title: str, numeric: "Sequence[bool]", ends: "Sequence[bool]"
) -> None:
    import sys

    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    width = None if sys.stdout.isatty() else _UNBOUNDED
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    if _least_width(shown) > console.width:
        _print_records(shown, title)
        return
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for name, is_number in zip(shown.columns, numeric, strict=True):
        justify: Literal["left", "right"] = "right" if is_number else "left"
        table.add_column(str(name), justify=justify, overflow="fold")
    for row, is_end in zip(shown.to_numpy().tolist(), ends, strict=True):
        table.add_row(*row, end_section=is_end)
    with console.capture() as text:
        console.print(table)
    print("\n".join(line.rstrip() for line in text.get().splitlines()))


def _least_width(shown: "DataFrame") -> int:
    """Columns that a table needs if it is wrapped at spaces alone, so that no number is cut."""
    texts = {str(name): [str(name), *shown[name].astype(str)] for name in shown.columns}
    longest = (
        max(len(word) for text in column for word in text.split() or [""])
        for column in texts.values()
    )
    return sum(longest) + len(texts) - 1


def _print_records(shown: "DataFrame", title: str) -> None:
    """Prints a row as lines of names and values, for a terminal that is too narrow for a table."""
    print(title)
    names = [str(name).replace("\n", " ") for name in shown.columns]
    width = max(map(len, names))
    for row in shown.to_numpy().tolist():
        print()
        for name, value in zip(names, row, strict=True):
            print(f"{name:<{width}}  {value}".rstrip())
