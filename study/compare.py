"""`study compare`: studies side by side."""

from pathlib import Path
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

    The test result is blank until `study best` was run. A warning says so if the studies
    were tested on different images, as their scores do not compare then.

    Example: study compare first second --format latex
    """
    from results.folder import latest_study, list_studies, open_study
    from results.tables import comparison, differences

    runs = Path("runs")
    if not names:
        latest_study(runs)  # raises if there is none
        names = [study.name for study in list_studies(runs)]
    studies = [open_study(runs, name) for name in dict.fromkeys(names)]
    print_frame(comparison(studies), format, "Comparison", transposed=True)
    for sentence in differences(studies):
        typer.echo(f"Warning: {sentence}", err=True)
