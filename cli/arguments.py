"""Arguments and options that name a study, with shell completion."""

from typing import Annotated

import typer


def complete_studies(incomplete: str) -> list[str]:
    """Names of the studies in runs/ that begin with `incomplete`."""
    from concrete_study.results.runs import RUNS, list_studies

    return [s.name for s in list_studies(RUNS) if s.name.startswith(incomplete)]


StudyArgument = Annotated[
    str | None,
    typer.Argument(
        help="Name of the study.", show_default="the latest study", autocompletion=complete_studies
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        help="Study whose model is used.",
        show_default="the latest retrained study",
        autocompletion=complete_studies,
    ),
]

PositiveOption = Annotated[
    str | None,
    typer.Option(
        help="Class that recall, thresholds and ROC curves are about.",
        show_default="as in the study",
    ),
]


def typed(context: typer.Context, option: str) -> bool:
    """Whether an option was given on the command line, even with its default value."""
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"
