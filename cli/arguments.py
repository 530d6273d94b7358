"""Arguments and options that name a study, with shell completion."""

from pathlib import Path
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
ModelArgument = Annotated[
    str | None,
    typer.Argument(
        help="Name of the study; NAME:SITE for its model adapted to a site.",
        show_default="the latest study",
        autocompletion=complete_studies,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        help="Study whose model is used; NAME:SITE for its model adapted to a site.",
        show_default="the latest retrained study",
        autocompletion=complete_studies,
    ),
]
MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FOLDER=CLASS",
        help="Class of a folder, or of a class in --labels, that has another name; repeatable, or "
        "separated by commas.",
    ),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option(help="CSV file with the columns file and class, instead of class folders."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        help="Number of processes that share the images (extra `cluster`).",
        show_default="1, or as many as the cluster has room for",
    ),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(help="Use the Ray cluster at this address, e.g. auto or 10.0.0.1:6379."),
]

FormatsOption = Annotated[
    str,
    typer.Option(
        "--format",
        help="Export formats, separated by commas: keras, saved-model, litert, onnx.",
    ),
]
DEFAULT_FORMATS = "keras,saved-model"


def split_formats(text: str) -> list[str]:
    """The names of export formats with commas between them."""
    return [name.strip() for name in text.split(",")]


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
