"""A search under the live display, as `study search` and `study baseline` run it."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from concrete_study.results.folder import StudyFolder
    from concrete_study.results.records import SearchOptions, TrialRecord


def run_study(
    options: "SearchOptions",
    study: "StudyFolder",
    *,
    resume: bool,
    overwrite: bool,
    time_budget: float | None = None,
    tensorboard: bool = False,
    like: "StudyFolder | None" = None,
) -> None:
    """Runs a search under the live display and prints where everything is.

    Raises:
        StudyError: If the data, the disk or the search itself forbids it.
    """
    from concrete_study.cli.display import Display
    from concrete_study.datasets.errors import StudyStateError
    from concrete_study.search.runner import run_search

    with Display() as display:
        display.log(f"Study {study.name}: {options.algorithm}, up to {options.max_epochs} epochs.")
        try:
            best = run_search(
                options,
                study,
                display,
                resume=resume,
                overwrite=overwrite,
                time_budget=time_budget,
                tensorboard=tensorboard,
                like=like,
            )
        except StudyStateError:
            raise  # nothing was begun: another process has it, or it is another study
        except BaseException:
            # Whatever stopped it: what was finished is kept.
            if study.manifest_path.exists() and study.manifest().state != "finished":
                display.log(f"Go on with: study search --name {study.name} --resume")
            raise
    _print_result(study, best, options.objective)


def _print_result(study: "StudyFolder", best: "TrialRecord", objective: str) -> None:
    from concrete_study.results.hyperparameters import describe

    typer.echo(f"Best trial: {best.trial}, {objective} {best.score:.5f} at {best.epochs} epochs")
    typer.echo(f"  {describe(best.hyperparameters)}")
    typer.echo(f"Everything is in {study.path}/: study.json, split.csv, trials.csv, trials/")
    typer.echo(f"Next: study best {study.name} --export")
