"""`study report`: the report of a study as HTML and Markdown."""

from typing import Annotated

import typer

from concrete_study.cli.arguments import StudyArgument
from concrete_study.cli.output import echo


def report_command(
    name: StudyArgument = None,
    show: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
) -> None:
    """Write the report of a study with its figures and tables.

    Writes report.html (one file), report.md, each figure as PNG and SVG and each table as CSV to
    runs/NAME/report/. Trains and evaluates nothing.

    Example: study report first --open
    """
    import webbrowser

    from concrete_study.results.runs import RUNS, open_study
    from concrete_study.study.study import Study

    study = Study(open_study(RUNS, name))
    echo(f"Study {study.name}: writing the report ...", err=True)
    page = study.report()
    echo(f"Report: {page}")
    if show:
        webbrowser.open(page.resolve().as_uri())
