"""Running a search, for `study search` and `study baseline`."""

from typing import TYPE_CHECKING

from concrete_study.cli.output import echo

if TYPE_CHECKING:
    from concrete_study.results.folder import StudyFolder
    from concrete_study.results.records import TrialRecord
    from concrete_study.study.searching import SearchJob


def run_job(job: "SearchJob") -> None:
    """Runs a search with progress display and prints its result, or how to continue it.

    Raises:
        StudyError: If the search cannot start or ends without a best trial.
    """
    from concrete_study.cli.errors import option_name
    from concrete_study.datasets.errors import StudyStateError
    from concrete_study.results.runs import has_diverged
    from concrete_study.study.display import Display

    study = job.study
    with Display(option_name) as display:
        try:
            best = job.run(display)
        except StudyStateError:
            raise  # nothing was started
        except BaseException:
            unfinished = study.manifest_path.exists() and study.manifest().state != "finished"
            if unfinished and not has_diverged(study):
                display.log(f"To continue: study search --name {study.name} --resume")
            raise
    _print_result(study, best, job.options.objective)


def _print_result(study: "StudyFolder", best: "TrialRecord", objective: str) -> None:
    from concrete_study.results.formats import counted, plus_minus
    from concrete_study.results.hyperparameters import describe

    score = plus_minus(best.score or 0.0, best.standard_error, 5)
    echo(f"Best trial: {best.trial}, {objective} {score} at {counted(best.epochs, 'epoch')}")
    echo(f"  {describe(best.hyperparameters)}")
    echo(f"Results: {study.path}/: study.json, split.csv, trials.csv, trials/")
    echo(f"Next: study best {study.name} --export")
