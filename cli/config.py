"""`study config`: the options of a study as a `study.toml`."""

import typer

from concrete_study.cli.arguments import StudyArgument


def config_command(name: StudyArgument = None) -> None:
    """Print every option of a study as a file for --config.

    Example: study config first > study.toml, then: study search --config study.toml --seed 2
    """
    from concrete_study.results.runs import RUNS, open_study
    from concrete_study.results.study_toml import study_toml

    typer.echo(study_toml(open_study(RUNS, name).manifest().options), nl=False)
