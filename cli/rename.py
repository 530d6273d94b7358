"""`study rename`: rename a study."""

from typing import Annotated

import typer

from concrete_study.cli.arguments import complete_studies
from concrete_study.cli.output import echo


def rename_command(
    name: Annotated[
        str, typer.Argument(help="Name of the study.", autocompletion=complete_studies)
    ],
    new: Annotated[str, typer.Argument(help="New name.")],
) -> None:
    """Rename a study.

    Example: study rename hyperband-1 first
    """
    from concrete_study.datasets.errors import StudyStateError
    from concrete_study.results.folder import StudyFolder
    from concrete_study.results.runs import RUNS, check_name, open_study

    study = open_study(RUNS, name)
    target = StudyFolder(RUNS / check_name(new))
    if target.is_taken():
        raise StudyStateError(f"{target.path} exists.", "Expected a new name.", "another name.")
    study.rename(target)
    echo(f"{study.path} is now {target.path}")
