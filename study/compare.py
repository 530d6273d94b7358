"""`study compare`: studies side by side."""

from typing import Annotated

import typer

from study.tables import Format, FormatOption, print_frame


def compare_command(
    names: Annotated[
        list[str] | None, typer.Argument(help="The studies; all of them if left out.")
    ] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Compare studies: search, chosen settings and test result side by side.

    The test result is blank until `study best` was run. Warnings say why scores do not
    compare: other images or image sizes, other objectives, other rungs (epoch budgets).

    Example: study compare first second --format latex
    """
    from results.folder import RUNS, latest_study, list_studies, open_study
    from results.tables import comparison, differences

    if not names:
        latest_study(RUNS)  # raises if there is none
        names = [study.name for study in list_studies(RUNS)]
    studies = [open_study(RUNS, name) for name in dict.fromkeys(names)]
    print_frame(comparison(studies), format, "Comparison", transposed=True)
    for sentence in differences(studies):
        typer.echo(f"Warning: {sentence}", err=True)
