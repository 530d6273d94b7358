"""`study rm`: delete studies."""

import sys
from typing import Annotated

import typer

from concrete_study.cli.arguments import complete_studies
from concrete_study.cli.output import echo


def rm_command(
    names: Annotated[
        list[str], typer.Argument(help="Names of the studies.", autocompletion=complete_studies)
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete studies with all their results.

    Cached features are kept.

    Example: study rm first second --yes
    """
    from concrete_study.datasets.errors import UsageError
    from concrete_study.results.runs import RUNS, find_study

    studies = [find_study(RUNS, name) for name in dict.fromkeys(names)]
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                "study rm needs a confirmation.",
                "Expected a terminal or --yes; found neither.",
                f"study rm {' '.join(names)} --yes",
            )
        typer.confirm(f"Delete {', '.join(study.name for study in studies)}?", abort=True)
    for study in studies:
        study.remove()
        echo(f"Deleted {study.path}")
