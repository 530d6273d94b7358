"""The output format that `list`, `show` and `compare` share, and printing a table in it."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pandas import DataFrame

# Plain text is as wide as its table: nothing is cut, whatever the width of the screen.
_UNBOUNDED = 10_000


class Format(StrEnum):
    """How a table is printed; all but `table` are meant for other programs and papers."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"
    LATEX = "latex"


FormatOption = Annotated[
    Format, typer.Option("--format", "-f", help="How to print; csv and json keep every digit.")
]


def print_frame(
    frame: "DataFrame",
    format: Format,
    title: str,
    *,
    drawn: "Sequence[str] | None" = None,
    apart: str = "",
    transposed: bool = False,
) -> None:
    """Prints a table on stdout: drawn for a terminal, plain external, or in another format.

    Args:
        frame: A table of `results`.
        format: How to print it.
        title: Heading of the drawn table.
        drawn: The columns that are drawn, all if left out; other formats have every column.
        apart: A column of the drawn table whose groups of equal values stand apart.
        transposed: Print rows as columns where people read, for few rows of many values.
    """
    from concrete_study.results.formats import readable, render

    if format is not Format.TABLE:
        print(render(frame, format.value, transposed=transposed), end="")
        return
    frame = frame[list(drawn)] if drawn is not None else frame
    shown = readable(frame, transposed=transposed)
    if transposed:
        numeric = [False, *[True] * len(frame)]
    else:
        numeric = [dtype.kind in "iuf" for dtype in frame.dtypes]
        shown.columns = [str(name).replace(" ", "\n") for name in shown.columns]  # 80 columns
    ends = (shown[apart] != shown[apart].shift(-1)).tolist() if apart else [False] * len(shown)
    _draw(shown, title, numeric, ends)


def _draw(
    shown: "DataFrame", title: str, numeric: "Sequence[bool]", ends: "Sequence[bool]"
) -> None:
    import sys

    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    width = None if sys.stdout.isatty() else _UNBOUNDED
    console = Console(width=width, markup=False, emoji=False, highlight=False)
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
