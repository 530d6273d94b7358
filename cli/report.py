"""`study report`: everything a study shows, as pages to look at."""

from typing import Annotated

import typer

from concrete_study.cli.arguments import StudyArgument


def report_command(
    name: StudyArgument = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write a study's report, a page to look at.

    With its figures and the numbers behind them.

    Into runs/NAME/report/: report.html (one file), report.md, every figure as PNG and SVG and
    every table as CSV. Nothing is trained, and no image is tested.

    Example: study report first --open
    """
    import webbrowser

    from concrete_study.cli.display import Display
    from concrete_study.results.report.writing import write_report
    from concrete_study.results.runs import RUNS, open_study

    study = open_study(RUNS, name)
    with Display() as display:
        display.log(f"Study {study.name}: writing the report ...")
        page = write_report(study)
    typer.echo(f"The report: {page}")
    if show:
        webbrowser.open(page.resolve().as_uri())
