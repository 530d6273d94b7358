"""A search from its given options to its best trial, for the Python API and the command line."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from concrete_study.datasets.errors import ChangedOptionsError, UsageError
from concrete_study.models.quiet import import_tensorflow
from concrete_study.results.folder import StudyFolder
from concrete_study.results.formats import counted
from concrete_study.results.options import SearchConfig
from concrete_study.results.records import SearchOptions, TrialRecord
from concrete_study.results.runs import check_name, claim_study, require_free
from concrete_study.search.config import GivenOptions, changed_options
from concrete_study.search.progress import SearchProgress

if TYPE_CHECKING:
    from concrete_study.search.cost import SearchPlan
    from concrete_study.search.worker_options import WorkerOptions


class SearchJob(NamedTuple):
    """A search that is ready to run; `search.runner.run_search` has the meaning of each part."""

    options: SearchOptions
    study: StudyFolder
    resume: bool = False
    overwrite: bool = False
    time_budget: float | None = None
    tensorboard: bool = False
    like: StudyFolder | None = None
    config: SearchConfig = SearchConfig()  # where its trials run

    def run(self, progress: SearchProgress) -> TrialRecord:
        """Runs the search and returns its best trial.

        Raises:
            StudyError: If the search cannot start or ends without a best trial.
        """
        from concrete_study.search.options import check
        from concrete_study.search.runner import run_search

        options = self.options
        check(options)
        progress.log(
            f"Study {self.study.name}: {options.algorithm}, up to "
            f"{counted(options.max_epochs, 'epoch')}; score: {options.objective}."
        )
        return run_search(
            options,
            self.study,
            progress,
            resume=self.resume,
            overwrite=self.overwrite,
            time_budget=self.time_budget,
            tensorboard=self.tensorboard,
            like=self.like,
            workers=_workers(self.config),
        )

    def plan(self, progress: SearchProgress) -> "SearchPlan":
        """Reports trials, disk space and estimated time, and runs nothing.

        Raises:
            StudyError: If the search cannot start.
        """
        from concrete_study.search.runner import plan_search

        return plan_search(
            self.options,
            self.study,
            progress,
            resume=self.resume,
            overwrite=self.overwrite,
            time_budget=self.time_budget,
            workers=_workers(self.config),
        )


@contextmanager
def open_search(
    given: GivenOptions, runs: Path, *, resume: bool = False, overwrite: bool = False
) -> Iterator[SearchJob]:
    """Reserves a study for a search while the block runs; imports TensorFlow.

    Args:
        given: The options; without a name, the study takes the next free number.
        runs: Folder of all studies.
        resume: Whether to continue a study, with its stored options; given ones have to be equal.
        overwrite: Whether to replace a study.

    Raises:
        UsageError: If the arguments exclude each other, or an option is not valid.
        StudyStateError: If the study is not free, or was started with other options.
    """
    config = given.config
    if resume and overwrite:
        raise UsageError("resume and overwrite cannot be combined.", "Expected one of them.")
    if resume and config.name is None:
        raise UsageError("needs a name.", "Expected that of a study.", parameter="resume")
    with ExitStack() as stack:
        if config.name is None:
            study = stack.enter_context(claim_study(runs, config.algorithm))
        else:
            study = StudyFolder(runs / check_name(config.name))
        require_free(study, resume=resume, overwrite=overwrite)
        import_tensorflow()
        _workers(config).check()
        options = _stored_options(given, study) if resume else given.options()
        yield SearchJob(
            options,
            study,
            resume,
            overwrite,
            config.time_budget,
            config.tensorboard,
            config=config,
        )


def _workers(config: SearchConfig) -> "WorkerOptions":
    from concrete_study.search.worker_options import WorkerOptions

    return WorkerOptions(**{name: getattr(config, name) for name in WorkerOptions._fields})


def _stored_options(given: GivenOptions, study: StudyFolder) -> SearchOptions:
    """The options of a study that is resumed; stores the new folders of images that have moved."""
    from concrete_study.search.moved_data import store_new_folders

    if given.config.data and "data" in given.names:
        store_new_folders(study, [Path(folder) for folder in given.config.data])
        # The folders of other sets may follow those of the study.
        given = given._replace(names=given.names - {"data"})
    stored = study.manifest().options
    if changed := changed_options(given, stored):
        raise ChangedOptionsError(study.name, changed)
    return stored
