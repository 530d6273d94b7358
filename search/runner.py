"""Running a study from its options to its trials, so that it can be stopped at any moment."""

import math
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

import keras_tuner
from sklearn.exceptions import ConvergenceWarning

from concrete_study.datasets.errors import SearchError
from concrete_study.models.batch_sources import FeatureSource
from concrete_study.models.devices import memory_errors
from concrete_study.models.recipe import DivergedError, Epoch, train
from concrete_study.models.trainable import Network
from concrete_study.results.figures import collect_rungs, draw_rungs, save_figure
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import TrialRecord
from concrete_study.results.state import require_free
from concrete_study.results.trials import best_trial
from concrete_study.search.cost import SearchPlan
from concrete_study.search.images import require_split, store_split
from concrete_study.search.manifest import Manifest, kept_manifest
from concrete_study.search.options import SearchOptions
from concrete_study.search.preparation import prepare, report_plan
from concrete_study.search.progress import SearchProgress
from concrete_study.search.recording import completed, epoch_records, record_epoch
from concrete_study.search.schedule import total_epochs, total_trials
from concrete_study.search.space import UNFREEZE_DEPTH, configuration_of
from concrete_study.search.tensorboard import TrialBoard
from concrete_study.search.tuner import StudyTuner


class TimeIsUpError(Exception):
    """The time budget is spent; raised between epochs or trials, and caught here."""


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
) -> TrialRecord:
    """Runs a search, or goes on with one that was interrupted.

    Args:
        options: What to search; on resume, the stored ones.
        study: Its folder; new, or that of an interrupted study.
        progress: Told of everything.
        resume: Whether to go on with a study of this name.
        overwrite: Whether a study of this name is removed, once the images have been read.
        time_budget: Seconds after which no trial goes on, once one is completed.
        tensorboard: Whether to write curves and hyperparameters for TensorBoard.
        like: A study whose split this one has to have.

    Returns:
        The best trial of the highest rung.

    Raises:
        StudyError: If the data, the disk or the search itself forbids it.
    """
    start = time.monotonic()
    with study.lock(), memory_errors(), _removed_if_nothing_began(study):
        require_free(study, resume=resume, overwrite=overwrite)
        prepared = prepare(options, study, progress, resume=resume)
        if like is not None:
            require_split(like, prepared.data)
        plan = report_plan(prepared, progress, time_budget)
        if time_budget is not None:
            plan.require_features_within(time_budget)
        if overwrite:
            study.clear()
        store_split(study, prepared.data)
        with kept_manifest(study, options, prepared, start=start) as manifest:
            training, validation = prepared.compute_features(progress)
            deadline = math.inf if time_budget is None else start + time_budget
            run = _Run(options, study, prepared.network, progress, manifest, plan, deadline)
            if tensorboard:
                run.board = TrialBoard(study.tensorboard_path, options.space, options.objective)
            return run.search(prepared.records, training, validation)


def plan_search(
    options: SearchOptions,
    study: StudyFolder,
    progress: SearchProgress,
    *,
    resume: bool = False,
    overwrite: bool = False,
    time_budget: float | None = None,
) -> SearchPlan:
    """Tells what `run_search` would do and cost; a few batches are timed, nothing is kept.

    Raises:
        StudyError: If the data forbids it, or the study exists.
    """
    with study.lock(), memory_errors(), _removed_if_nothing_began(study):
        require_free(study, resume=resume, overwrite=overwrite)
        return report_plan(prepare(options, study, progress, resume=resume), progress, time_budget)


@contextmanager
def _removed_if_nothing_began(study: StudyFolder) -> Iterator[None]:
    """Leaves no empty folder behind where the images or the weights could not be read."""
    try:
        yield
    finally:
        if not study.manifest_path.exists() and not study.leftovers():
            shutil.rmtree(study.path, ignore_errors=True)
            with suppress(OSError):  # not empty: other studies are there
                study.path.parent.rmdir()


class _Run:
    """One process's part of a search: its trials, one after the other."""

    def __init__(
        self,
        options: SearchOptions,
        study: StudyFolder,
        network: Network,
        progress: SearchProgress,
        manifest: Manifest,
        plan: SearchPlan,
        deadline: float,
    ) -> None:
        self.options, self.study, self.network = options, study, network
        self.progress, self.manifest = progress, manifest
        self.estimate, self.deadline = plan, deadline
        self.records: dict[str, TrialRecord] = {}
        self.board: TrialBoard | None = None

    def search(
        self, stored: Sequence[TrialRecord], training: FeatureSource, validation: FeatureSource
    ) -> TrialRecord:
        """Lets Keras Tuner's oracle choose trials until it stops, or time is up."""
        self.records = {record.trial: record for record in stored}
        if self.board is not None:
            for record in stored:
                self.board.write(record)
        schedule = self.options.schedule()
        self.progress.plan(total_trials(schedule), total_epochs(schedule), stored)
        tuner = StudyTuner(
            self.options,
            directory=self.study.tuner_path,
            stored=dict(self.records),
            run=lambda asked: self._run_trial(asked, training, validation),
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
                "three trials in a row failed.",
                f"Expected finite losses; the last one: {failed[-1].message}.",
                "lower learning rates by --space FILE.toml.",
            ) from error
        self._note_end(total_trials(schedule))
        self.study.write_table()
        records, objective = list(self.records.values()), self.options.objective
        figure = draw_rungs(collect_rungs(records, objective=objective), objective=objective)
        save_figure(figure, self.study.path / "trials.png")
        return best_trial(records, objective)

    def _note_end(self, planned: int) -> None:
        done = len(self.records)
        if done < planned:
            stopped = self.manifest.content["stopped"]
            why = f"the {stopped} is spent" if stopped else "nothing is left to try"
            self.progress.log(f"{done} of {planned} trials: {why}.")

    def _require_time(self, needed: float = 0.0) -> None:
        """TimeIsUpError if the budget does not hold so many seconds more; never before a best."""
        if time.monotonic() + needed > self.deadline and self._best() is not None:
            raise TimeIsUpError

    def _best(self) -> TrialRecord | None:
        try:
            return best_trial(list(self.records.values()), self.options.objective)
        except SearchError:
            return None

    def _run_trial(
        self, asked: TrialRecord, train_source: FeatureSource, validation: FeatureSource
    ) -> TrialRecord:
        """Trains one configuration for its budget; a pure function of both and the seed."""
        depth = int(asked.hyperparameters[UNFREEZE_DEPTH])
        self._require_time(self.estimate.trial_seconds(asked.epochs, depth))
        self.progress.trial_started(asked)
        start = time.monotonic()

        def on_epoch(epoch: Epoch) -> None:
            self.progress.epoch_done(record_epoch(epoch))
            if epoch.epoch < asked.epochs:
                self._require_time()

        try:
            outcome = train(
                self.network,
                configuration_of(asked.hyperparameters),
                epochs=asked.epochs,
                training=train_source,
                validation=validation,
                seed=self.options.seed,
                objective=self.options.objective,
                batch_size=self.options.batch_size,
                on_epoch=on_epoch,
            )
            record = completed(asked, outcome.curve, self.options.objective)
        except DivergedError as error:
            record = replace(asked, message=str(error), curve=epoch_records(error.curve))
        record = replace(record, seconds=round(time.monotonic() - start, 3))
        self.study.write_trial(record)
        self.manifest.save()
        self.records[record.trial] = record
        if self.board is not None:
            self.board.write(record)
        self.progress.trial_done(record, self._best())
        return record
