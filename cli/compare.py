"""`study compare`: tables that compare studies."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concrete_study.cli.arguments import complete_studies
from concrete_study.cli.tables import Format, FormatOption, print_frame

if TYPE_CHECKING:
    from pandas import DataFrame


class Part(StrEnum):
    """The tables, in the order in which they are printed."""

    COMPARISON = "comparison"
    PAIRED = "paired"
    RANKS = "ranks"
    COST = "cost"
    OPTIONS = "options"


_TITLES = {
    Part.COMPARISON: "Comparison",
    Part.PAIRED: "Paired tests",
    Part.RANKS: "Ranks (1 is best)",
    Part.COST: "Trials and time to reach the lowest of the best scores",
    Part.OPTIONS: "Differing options",
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
        Part | None,
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
    from concrete_study.results.paired import paired_table
    from concrete_study.results.ranking import changed_options, cost_to_reach, ranks
    from concrete_study.results.runs import RUNS, is_damaged, latest_study, list_studies, open_study
    from concrete_study.results.tables import comparison, differences

    if not names:
        latest_study(RUNS)  # raises if there is none
        names = [study.name for study in list_studies(RUNS) if not is_damaged(study)]
    studies = [open_study(RUNS, name) for name in dict.fromkeys(names)]
    frame = comparison(studies)
    frames: dict[Part, DataFrame] = {
        Part.COMPARISON: frame,
        Part.PAIRED: paired_table(studies),
        Part.RANKS: ranks(studies),
        Part.COST: cost_to_reach(studies),
        Part.OPTIONS: changed_options(studies),
    }
    if only_changed and len(frame) > 1:
        # The names of studies always differ.
        frames[Part.COMPARISON] = frame.loc[:, frame.nunique(dropna=False) > 1]
    _print(frames, format, table, several=len(studies) > 1)
    if report is not None:
        from concrete_study.results.report.writing import write_comparison

        typer.echo(f"Report: {write_comparison(studies, report)}", err=True)
    for difference in differences(studies):
        typer.echo(f"Warning: {difference.sentence}", err=True)


def _print(
    frames: "dict[Part, DataFrame]", format: Format, table: Part | None, *, several: bool
) -> None:
    """Prints one table, or every table that has rows if the output is for people."""
    if table is not None:
        shown = [table]
    elif format is Format.TABLE and several:
        shown = [part for part, frame in frames.items() if len(frame)]
    else:
        shown = [Part.COMPARISON]
    for part in shown:
        if part is not shown[0]:
            print()
        if format is Format.TABLE and frames[part].empty:
            typer.echo(
                f"{_TITLES[part]}: empty; it needs studies with comparable scores.", err=True
            )
        few_rows_of_many_values = part in (Part.COMPARISON, Part.PAIRED, Part.OPTIONS)
        transposed = few_rows_of_many_values and len(frames[part]) > 0
        print_frame(frames[part], format, _TITLES[part], transposed=transposed)
