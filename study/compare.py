"""`study compare`: studies side by side."""

from pathlib import Path
from typing import Annotated

import typer

from study.arguments import complete_studies
from study.tables import Format, FormatOption, print_frame


def compare_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="The studies; all of them if left out.", autocompletion=complete_studies
        ),
    ] = None,
    format: FormatOption = Format.TABLE,
    paired: Annotated[
        bool, typer.Option("--paired", help="Only the paired tests, in any --format.")
    ] = False,
    only_changed: Annotated[
        bool, typer.Option("--only-changed", help="Leave out what all studies have in common.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Also write a page with figures into this folder.")
    ] = None,
) -> None:
    """Compare studies: search, chosen settings and test result side by side.

    The test result is blank until `study best` was run. Warnings say why scores do not
    compare: other images or image sizes, other objectives, other rungs (epoch budgets).
    Models tested on exactly the same images are compared in pairs: McNemar's exact test,
    and a bootstrap interval of the difference.

    Example: study compare first second --format latex
    """
    from results.paired import paired_table
    from results.runs import RUNS, latest_study, list_studies, open_study
    from results.tables import comparison, differences

    if not names:
        latest_study(RUNS)  # raises if there is none
        names = [study.name for study in list_studies(RUNS)]
    studies = [open_study(RUNS, name) for name in dict.fromkeys(names)]
    pairs = paired_table(studies)
    if not paired:
        frame = comparison(studies)
        if only_changed and len(frame) > 1:
            frame = frame.loc[:, frame.nunique(dropna=False) > 1]  # names differ always
        print_frame(frame, format, "Comparison", transposed=True)
    if paired or (format is Format.TABLE and not pairs.empty):
        print()
        print_frame(pairs, format, "Paired tests", transposed=True)
    if report is not None:
        from results.report.writing import write_comparison

        typer.echo(f"The report: {write_comparison(studies, report)}", err=True)
    for sentence in differences(studies):
        typer.echo(f"Warning: {sentence}", err=True)
