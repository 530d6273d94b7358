"""Running a search with progress display, for `study search` and `study baseline`."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from concrete_study.results.folder import StudyFolder
    from concrete_study.results.records import SearchOptions, TrialRecord
    from concrete_study.search.workers import WorkerOptions


def run_study(
    options: "SearchOptions",
    study: "StudyFolder",
    *,
    resume: bool,
    overwrite: bool,
    time_budget: float | None = None,
    tensorboard: bool = False,
    like: "StudyFolder | None" = None,
    workers: "WorkerOptions | None" = None,
) -> None:
    """Runs a search with progress display and prints its result.

    Raises:
        StudyError: If the search cannot start or ends without a best trial.
    """
    from concrete_study.cli.display import Display
    from concrete_study.datasets.errors import StudyStateError
    from concrete_study.results.formats import counted
    from concrete_study.results.runs import has_diverged
    from concrete_study.search.options import check
    from concrete_study.search.runner import run_search
    from concrete_study.search.workers import IN_PROCESS

    check(options)
    with Display() as display:
        display.log(
            f"Study {study.name}: {options.algorithm}, up to "
            f"{counted(options.max_epochs, 'epoch')}; score: {options.objective}."
        )
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
                workers=workers or IN_PROCESS,
            )
        except StudyStateError:
            raise  # nothing was started
        except BaseException:
            unfinished = study.manifest_path.exists() and study.manifest().state != "finished"
            if unfinished and not has_diverged(study):
                display.log(f"To continue: study search --name {study.name} --resume")
            raise
    _print_result(study, best, options.objective)


def _print_result(study: "StudyFolder", best: "TrialRecord", objective: str) -> None:
    from concrete_study.results.formats import counted, plus_minus
    from concrete_study.results.hyperparameters import describe

    score = plus_minus(best.score or 0.0, best.standard_error, 5)
    typer.echo(f"Best trial: {best.trial}, {objective} {score} at {counted(best.epochs, 'epoch')}")
    typer.echo(f"  {describe(best.hyperparameters)}")
    typer.echo(f"Results: {study.path}/: study.json, split.csv, trials.csv, trials/")
    typer.echo(f"Next: study best {study.name} --export")
