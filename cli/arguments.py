"""The studies a command is asked about, completed by the shell as they are typed."""

from typing import Annotated

import typer


def complete_studies(incomplete: str) -> list[str]:
    """Names of studies in runs/ that begin as typed."""
    from concrete_study.results.runs import RUNS, list_studies

    return [s.name for s in list_studies(RUNS) if s.name.startswith(incomplete)]


StudyArgument = Annotated[
    str | None,
    typer.Argument(help="The study.", show_default="the latest", autocompletion=complete_studies),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        help="Whose model.",
        show_default="the latest retrained",
        autocompletion=complete_studies,
    ),
]


def typed(context: typer.Context, option: str) -> bool:
    """Whether an option was given on the command line, be it with its default value."""
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"
