"""`study rm`: remove studies."""

import sys
from typing import Annotated

import typer

from concrete_study.cli.arguments import complete_studies


def rm_command(
    names: Annotated[
        list[str], typer.Argument(help="The studies.", autocompletion=complete_studies)
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove studies with all that came of them.

    Features in the cache stay.

    Example: study rm first second --yes
    """
    from concrete_study.datasets.errors import UsageError
    from concrete_study.results.runs import RUNS, find_study

    studies = [find_study(RUNS, name) for name in dict.fromkeys(names)]
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                "study rm asks before it removes.",
                "Expected a terminal to ask on, or --yes; found neither.",
                f"study rm {' '.join(names)} --yes",
            )
        typer.confirm(f"Remove {', '.join(study.name for study in studies)}?", abort=True)
    for study in studies:
        study.remove()
        typer.echo(f"Removed {study.path}")
