"""Running a study from its options to its trials, so that it can be stopped at any moment."""

import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import keras_tuner
from sklearn.exceptions import ConvergenceWarning

from datasets.augmentation import AUGMENTATION
from datasets.errors import SearchError
from models.base import BaseWeights, load_weights
from models.devices import memory_errors, prepare_devices
from models.features import GIGABYTE, FeaturePlan, FeatureStore, feature_folder, plan_features
from models.learner import Network
from models.network import cut_below
from models.precision import choose_precision
from models.recipe import DivergedError, Epoch, best_epoch, train
from models.sources import FeatureSource
from results.figures import collect_rungs, draw_rungs, save_figure
from results.folder import StudyFolder
from results.records import EpochRecord, TrialRecord
from results.state import require_free
from results.trials import best_trial
from search.data import StudyData, load_data, store_split
from search.manifest import Manifest, kept_manifest
from search.options import SearchOptions
from search.progress import Progress
from search.schedule import total_epochs, total_trials
from search.space import DEPTH, configuration_of
from search.tuner import StudyTuner


def run_search(
    options: SearchOptions,
    study: StudyFolder,
    progress: Progress,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> TrialRecord:
    """Runs a search, or goes on with one that was interrupted.

    Args:
        options: What to search; on resume, the stored ones.
        study: Its folder; new, or that of an interrupted study.
        progress: Told of everything.
        resume: Whether to go on with a study of this name.
        overwrite: Whether a study of this name is removed, once the images have been read.

    Returns:
        The best trial of the highest rung.

    Raises:
        StudyError: If the data, the disk or the search itself forbids it.
    """
    start = time.monotonic()
    devices = prepare_devices()
    with study.lock(), memory_errors(), _removed_if_nothing_began(study):
        require_free(study, resume=resume, overwrite=overwrite)
        data = load_data(options, study, progress)
        weights = load_weights(options.weights, seed=options.seed)
        if overwrite:
            study.clear()
        store_split(study, data)
        with kept_manifest(study, options, data, weights, start=start) as manifest:
            run = _Run(options, study, data, weights, progress, manifest)
            run.choose_precision(devices)
            train_source, validation_source = run.prepare_features()
            return run.search(train_source, validation_source)


@contextmanager
def _removed_if_nothing_began(study: StudyFolder) -> Iterator[None]:
    """Leaves no empty folder behind where the images or the weights could not be read."""
    try:
        yield
    finally:
        if not study.manifest_path.exists():
            shutil.rmtree(study.path, ignore_errors=True)
            with suppress(OSError):  # not empty: other studies are there
                study.path.parent.rmdir()


class _Run:
    """One process's part of a search: the network and the features all trials share."""

    def __init__(
        self,
        options: SearchOptions,
        study: StudyFolder,
        data: StudyData,
        weights: BaseWeights,
        progress: Progress,
        manifest: Manifest,
    ) -> None:
        self.options, self.study, self.data = options, study, data
        self.progress, self.manifest, self.weights = progress, manifest, weights
        self.records = {record.trial: record for record in study.trials()}

    def choose_precision(self, devices: str) -> None:
        """Builds the network in the precision the study began with, or the hardware's own."""
        stored = self.manifest.content.get("precision")
        precision = choose_precision(stored or self.options.precision)
        if not stored:
            self.progress.note(
                f"Device: {devices}. Precision: {precision.name} ({precision.reason})."
            )
        self.manifest.save(precision=precision.name, devices=devices)
        self.network = Network(
            self.weights,
            size=self.options.image_size,
            classes=len(self.data.folder.classes),
            precision=precision,
        )

    def prepare_features(self) -> tuple[FeatureSource, FeatureSource]:
        """Computes what is missing of the frozen features, and says what it does and why.

        Returns:
            Training and validation features.
        """
        train_set, validation_set = self.data.subset("train"), self.data.subset("validation")
        cuts = {cut_below(int(depth)) for depth in self.options.space[DEPTH].choices}
        plan = plan_features(
            ["pooled", *cuts],
            train=len(train_set),
            validation=len(validation_set),
            size=self.options.image_size,
            views=min(self.options.views, self.options.max_epochs),
            budget_gb=self.options.cache_gb,
        )
        self.manifest.save(features=plan._asdict() | {"augmentation": AUGMENTATION})
        self.progress.note(describe_plan(plan))
        stores = [FeatureStore(self.network, s, plan.cuts) for s in (train_set, validation_set)]
        sources = []
        for store, views in zip(stores, (plan.views, 1), strict=True):
            store.compute_all(views, self.progress.counting)
            sources.append(FeatureSource(store, views=views))
        return sources[0], sources[1]

    def search(self, train_source: FeatureSource, validation: FeatureSource) -> TrialRecord:
        """Lets Keras Tuner's oracle choose trials until it stops."""
        schedule = self.options.schedule()
        kept = list(self.records.values())
        self.progress.plan(total_trials(schedule), total_epochs(schedule), kept)
        tuner = StudyTuner(
            self.options,
            directory=self.study.tuner_path,
            stored=dict(self.records),
            run=lambda asked: self._run_trial(asked, train_source, validation),
        )
        try:
            with warnings.catch_warnings():
                # The Bayesian oracle's fits of few points; dozens of lines for each trial.
                warnings.filterwarnings("ignore", category=ConvergenceWarning)
                tuner.search(verbose=0)
        except keras_tuner.errors.FatalError as error:
            raise error.__cause__ or error from None
        except RuntimeError as error:
            failed = [r for r in self.records.values() if r.status == "failed"]
            if len(failed) < 3 or "consecutive" not in str(error).lower():
                raise
            raise SearchError(
                "three trials in a row failed.",
                f"Expected finite losses; the last one: {failed[-1].message}.",
                "lower learning rates by --space FILE.toml.",
            ) from error
        records, objective = list(self.records.values()), self.options.objective
        if len(records) < total_trials(schedule):
            planned = total_trials(schedule)
            self.progress.note(f"{len(records)} of {planned} trials: nothing is left to try.")
        self.study.write_table()
        figure = draw_rungs(collect_rungs(records, objective=objective), objective=objective)
        save_figure(figure, self.study.path / "trials.png")
        return best_trial(records, objective)

    def _best(self) -> TrialRecord | None:
        try:
            return best_trial(list(self.records.values()), self.options.objective)
        except SearchError:
            return None

    def _run_trial(
        self, asked: TrialRecord, train_source: FeatureSource, validation: FeatureSource
    ) -> TrialRecord:
        """Trains one configuration for its budget; a pure function of both and the seed."""
        self.progress.trial_started(asked)
        start = time.monotonic()
        try:
            outcome = train(
                self.network,
                configuration_of(asked.settings),
                epochs=asked.epochs,
                training=train_source,
                validation=validation,
                seed=self.options.seed,
                objective=self.options.objective,
                batch_size=self.options.batch_size,
                on_epoch=lambda epoch: self.progress.epoch_done(record_epoch(epoch)),
            )
            record = _completed(asked, outcome.curve, self.options)
        except DivergedError as error:
            record = replace(asked, message=str(error), curve=_records(error.curve))
        record = replace(record, seconds=round(time.monotonic() - start, 3))
        self.study.write_trial(record)
        self.manifest.save()
        self.records[record.trial] = record
        self.progress.trial_done(record, self._best())
        return record


def describe_plan(plan: FeaturePlan) -> str:
    """Says which features are kept, how large they are, and what did not fit."""
    if not plan.cuts:
        return f"Features: computed live in every epoch of every trial; {plan.reason}."
    kept = f"{plan.views} views at {', '.join(plan.cuts)}, {plan.bytes / GIGABYTE:.2f} GB"
    reason = f"; {plan.reason}" if plan.reason else ""
    return f"Features: {kept} in {feature_folder()}{reason}."


def _completed(asked: TrialRecord, curve: list[Epoch], options: SearchOptions) -> TrialRecord:
    best = best_epoch(curve, options.objective)
    at_best = curve[best - 1]._asdict()
    metrics = {name: value for name, value in at_best.items() if name not in ("epoch", "phase")}
    return replace(
        asked,
        status="completed",
        score=metrics[options.objective],
        best_epoch=best,
        metrics=metrics,
        curve=_records(curve),
    )


def record_epoch(epoch: Epoch) -> EpochRecord:
    """An epoch as the results keep it."""
    return EpochRecord(**epoch._asdict())


def _records(curve: list[Epoch]) -> list[EpochRecord]:
    return [record_epoch(epoch) for epoch in curve]
