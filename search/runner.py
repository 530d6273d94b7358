"""Running a search, so that it can be interrupted at any time and resumed."""

import math
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import keras_tuner
import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from concrete_study.datasets.errors import SearchError
from concrete_study.models.devices import memory_errors
from concrete_study.results.figures import save_figure
from concrete_study.results.folder import StudyFolder
from concrete_study.results.learning_curves import draw_rungs, trial_curves
from concrete_study.results.objectives import find_objective
from concrete_study.results.records import SearchOptions, TrialRecord
from concrete_study.results.runs import remove_unless_started, require_free
from concrete_study.results.trials import best_trial, find_best, remedy_of
from concrete_study.search.cost import SearchPlan
from concrete_study.search.images import require_split, store_split
from concrete_study.search.manifest import Manifest, kept_manifest
from concrete_study.search.options import check, schedule_of
from concrete_study.search.out_of_fold import out_of_fold_table, store_out_of_fold
from concrete_study.search.preparation import Preparation, prepare, report_plan
from concrete_study.search.progress import SearchProgress
from concrete_study.search.schedule import planned_trials, total_epochs
from concrete_study.search.space import configuration_of
from concrete_study.search.tensorboard import TrialBoard
from concrete_study.search.tuner import StudyTuner
from concrete_study.search.worker_options import IN_PROCESS, WorkerOptions
from concrete_study.search.workers import TrialPool, open_pool, workforce_of

_TABLE_LAG = 50  # trials.csv may lack one in so many trials while a search runs


class TimeIsUpError(Exception):
    """The time budget is used up; raised between epochs or trials, and caught here."""


def run_search(
    options: SearchOptions,
    study: StudyFolder,
    progress: SearchProgress,
    *,
    resume: bool = False,
    overwrite: bool = False,
    time_budget: float | None = None,
    tensorboard: bool = False,
    like: StudyFolder | None = None,
    workers: WorkerOptions = IN_PROCESS,
) -> TrialRecord:
    """Runs a search, or resumes one that was interrupted.

    Args:
        options: Of the search; on resume, the stored ones.
        study: Its folder; new, or that of an interrupted study.
        progress: Receives messages and counts.
        resume: Whether to continue an existing study.
        overwrite: Whether to replace one, after the images are read.
        time_budget: Seconds after which the search stops, once a trial is completed.
        tensorboard: Whether to write event files for TensorBoard.
        like: A study that must have the same split.
        workers: Where the trials run; the results do not depend on it.

    Returns:
        The best trial of the highest rung.

    Raises:
        StudyError: If options or images are not valid, the study is not free, or all trials fail.
    """
    workers.check()
    start, budget = time.monotonic(), math.inf if time_budget is None else time_budget
    with _reserved(options, study, resume=resume, overwrite=overwrite):
        prepared = prepare(options, study, progress, resume=resume)
        if like is not None:
            require_split(like, prepared.data)
        plan = report_plan(prepared, progress, time_budget, workforce_of(workers))
        plan.ensure_features_within(budget)
        if overwrite:
            study.clear()
        store_split(study, prepared.data)
        with kept_manifest(study, options, prepared, start=start) as manifest:
            run = _Run(options, study, prepared, progress, manifest, plan, start + budget)
            if tensorboard:
                run.board = TrialBoard(study.tensorboard_path, options.space, options.objective)
            with open_pool(
                workers,
                prepared,
                manifest=manifest,
                progress=progress,
                on_step=run.require_time,
            ) as pool:
                return run.search(pool)


def plan_search(
    options: SearchOptions,
    study: StudyFolder,
    progress: SearchProgress,
    *,
    resume: bool = False,
    overwrite: bool = False,
    time_budget: float | None = None,
    workers: WorkerOptions = IN_PROCESS,
) -> SearchPlan:
    """Reports the trials, disk space and estimated time of `run_search`, without running it.

    A few batches are timed; nothing is stored.

    Raises:
        StudyError: If options or images cannot be used, or the study is not free.
    """
    workers.check()
    with _reserved(options, study, resume=resume, overwrite=overwrite):
        prepared = prepare(options, study, progress, resume=resume)
        return report_plan(prepared, progress, time_budget, workforce_of(workers))


@contextmanager
def _reserved(
    options: SearchOptions, study: StudyFolder, *, resume: bool, overwrite: bool
) -> Iterator[None]:
    """Locks a study; removes its new folder if the images or the weights cannot be read."""
    check(options)
    with study.lock(), memory_errors():
        try:
            require_free(study, resume=resume, overwrite=overwrite)
            yield
        finally:
            remove_unless_started(study)


class _Run:
    """One process's part of a search: its trials, one after the other."""

    def __init__(
        self,
        options: SearchOptions,
        study: StudyFolder,
        prepared: Preparation,
        progress: SearchProgress,
        manifest: Manifest,
        plan: SearchPlan,
        deadline: float,
    ) -> None:
        self.options, self.study, self.prepared = options, study, prepared
        self.progress, self.manifest = progress, manifest
        self.estimate, self.deadline = plan, deadline
        self.records: dict[str, TrialRecord] = {}
        self.board: TrialBoard | None = None
        self._in_table = 0  # trials in trials.csv

    def search(self, pool: TrialPool) -> TrialRecord:
        """Runs the trials that Keras Tuner's oracle chooses, until it stops or time is up."""
        stored = self.prepared.records
        self.records = {record.trial: record for record in stored}
        if self.board is not None:
            for record in stored:
                self.board.write(record)
        schedule = schedule_of(self.options)
        self.progress.plan(planned_trials(schedule, stored), total_epochs(schedule), stored)
        tuner = StudyTuner(
            self.options,
            directory=self.study.tuner_path,
            stored=dict(self.records),
            run=lambda requested: self._run_trial(requested, pool),
        )
        try:
            with warnings.catch_warnings():
                # The Bayesian oracle's fits of few points; dozens of lines for each trial.
                warnings.filterwarnings("ignore", category=ConvergenceWarning)
                tuner.search(verbose=0)
        except keras_tuner.errors.FatalError as error:
            if not isinstance(error.__cause__, TimeIsUpError):
                raise error.__cause__ or error from None
            self.manifest.save(stopped="time budget")
        except RuntimeError as error:
            failed = [r for r in self.records.values() if r.status == "failed"]
            if len(failed) < 3 or "consecutive" not in str(error).lower():
                raise
            raise SearchError(
                "Three trials in a row failed.",
                f"Expected finite losses; the last failure: {failed[-1].message}.",
                remedy_of([failed[-1].message]),
            ) from error
        finally:
            if self.records:
                self.study.write_table(list(self.records.values()))
        self._log_end()
        records, objective = list(self.records.values()), self.options.objective
        figure = draw_rungs(trial_curves(records), objective=find_objective(objective))
        save_figure(figure, self.study.path / "trials.png")
        return best_trial(records, self.options)

    def _log_end(self) -> None:
        done, planned = len(self.records), self.manifest.content.planned_trials
        if done < planned:
            stopped = self.manifest.content.stopped
            why = f"the {stopped} is used up" if stopped else "no other configuration is left"
            self.progress.log(f"{done} of {planned} trials: {why}.")

    def require_time(self, needed: float = 0.0) -> None:
        """Raises TimeIsUpError if the time left is too short and a trial is completed."""
        if time.monotonic() + needed > self.deadline and self._best() is not None:
            raise TimeIsUpError

    def _best(self) -> TrialRecord | None:
        return find_best(list(self.records.values()), self.options)

    def _run_trial(self, requested: TrialRecord, pool: TrialPool) -> TrialRecord:
        """Takes the trial's result from the pool and stores it."""
        configuration = configuration_of(requested.hyperparameters)
        depth, size = configuration.unfreeze_depth, configuration.image_size
        if not pool.has(requested):
            self.require_time(self.estimate.trial_seconds(requested.epochs, depth, size))
        self.progress.trial_started(requested)
        record, probabilities = pool.result(requested)
        if probabilities:
            self._store_predictions(record, probabilities)
        self.records[record.trial] = record
        self.study.write_trial(record)
        self._update_table()
        planned = planned_trials(schedule_of(self.options), list(self.records.values()))
        self.manifest.save(planned_trials=planned)
        if self.board is not None:
            self.board.write(record)
        self.progress.trial_done(record, self._best())
        return record

    def _update_table(self) -> None:
        """Writes trials.csv once it lacks too many trials: all together in linear time."""
        if len(self.records) - self._in_table > len(self.records) / _TABLE_LAG:
            self.study.write_table(list(self.records.values()))
            self._in_table = len(self.records)

    def _store_predictions(
        self, record: TrialRecord, probabilities: list[NDArray[np.float32]]
    ) -> None:
        if split := self.prepared.split:
            classes = self.manifest.content.classes
            table = out_of_fold_table(self.prepared.rows, split, probabilities, classes)
            store_out_of_fold(self.study, [*self.records.values(), record], self.options, table)
