"""`study compare`: tables that compare studies."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concrete_study.cli.arguments import complete_studies
from concrete_study.cli.output import echo
from concrete_study.cli.tables import Format, FormatOption, print_frame
from concrete_study.results.comparison import Comparison

if TYPE_CHECKING:
    from pandas import DataFrame


_TITLES = {
    Comparison.COMPARISON: "Comparison",
    Comparison.PAIRED: "Paired tests",
    Comparison.RANKS: "Ranks (1 is best)",
    Comparison.COST: "Trials and time to reach the lowest of the best scores",
    Comparison.OPTIONS: "Differing options",
}


def compare_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names of the studies.",
            show_default="all studies",
            autocompletion=complete_studies,
        ),
    ] = None,
    format: FormatOption = Format.TABLE,
    table: Annotated[
        Comparison | None,
        typer.Option(
            help="Print only this table.",
            show_default="all; comparison for formats other than table",
        ),
    ] = None,
    only_changed: Annotated[
        bool, typer.Option("--only-changed", help="Omit values that are equal in all studies.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Also write an HTML page with figures into this folder.")
    ] = None,
) -> None:
    """Compare hyperparameters and results of several studies.

    Test results are empty until `study best` is run. Warnings name the reason when scores
    are not comparable: different images, image sizes, objectives or rungs (epoch budgets).
    Models evaluated on the same test images are compared in pairs by McNemar's exact test and a
    bootstrap interval of the difference. Further tables: ranks, trials and time to reach a
    score, and differing options.

    Example: study compare first second --table paired --format latex
    """
    from concrete_study.results.comparison import comparison_table
    from concrete_study.results.runs import RUNS, open_studies
    from concrete_study.results.tables import differences

    studies = open_studies(RUNS, names or ())
    frames = {
        part: comparison_table(studies, part, only_changed=only_changed) for part in Comparison
    }
    _print(frames, format, table, several=len(studies) > 1)
    if report is not None:
        from concrete_study.results.report.writing import write_comparison

        echo(f"Report: {write_comparison(studies, report)}", err=True)
    for difference in differences(studies):
        echo(f"Warning: {difference.sentence}", err=True)


def _print(
    frames: "dict[Comparison, DataFrame]",
    format: Format,
    table: Comparison | None,
    *,
    several: bool,
) -> None:
    """Prints one table, or every table that has rows if the output is for people."""
    if table is not None:
        shown = [table]
    elif format is Format.TABLE and several:
        shown = [part for part, frame in frames.items() if len(frame)]
    else:
        shown = [Comparison.COMPARISON]
    for part in shown:
        if part is not shown[0]:
            print()
        if format is Format.TABLE and frames[part].empty:
            echo(f"{_TITLES[part]}: empty; it needs studies with comparable scores.", err=True)
        few_rows_of_many_values = part in (
            Comparison.COMPARISON,
            Comparison.PAIRED,
            Comparison.OPTIONS,
        )
        transposed = few_rows_of_many_values and len(frames[part]) > 0
        print_frame(frames[part], format, _TITLES[part], transposed=transposed)
