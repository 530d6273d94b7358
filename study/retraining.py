"""The best trial, trained once more with the recipe, and tested once."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from concrete_study.datasets.augmentation import AUGMENTATION
from concrete_study.datasets.batches import Subset
from concrete_study.datasets.errors import SearchError, StudyStateError
from concrete_study.datasets.files import replacing_folder, write_json, write_text
from concrete_study.datasets.splits import EXTERNAL
from concrete_study.models.backbone import load_weights
from concrete_study.models.batch_sources import (
    BatchSource,
    CountedSource,
    FeatureSource,
    ImageSource,
)
from concrete_study.models.devices import memory_errors, prepare_devices
from concrete_study.models.export import KERAS_FILE, parameter_counts, summary_text, trained_model
from concrete_study.models.features import FeatureStore
from concrete_study.models.network import feature_layer_below, nearest_feature_layer
from concrete_study.models.precision import Precision, choose_precision
from concrete_study.models.recipe import DivergedError, Outcome, train
from concrete_study.models.trainable import Network, Weights
from concrete_study.results.environment import git_commit, versions
from concrete_study.results.evaluation import evaluate, read_predictions
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import FRESH_VIEWS, STORED_VIEWS
from concrete_study.results.trials import best_trial
from concrete_study.search.images import reopen_data
from concrete_study.search.manifest import now, require_same_weights
from concrete_study.search.options import SearchOptions
from concrete_study.search.progress import SearchProgress
from concrete_study.search.recording import record_epoch
from concrete_study.search.space import configuration_of
from concrete_study.study.evaluation import predict_subset, scores_by_dataset
from concrete_study.study.saved_training import load_outcome, save_outcome

SAVED_TRAINING = ".training.npz"  # a finished training until its test has been written


def retrain(
    study: StudyFolder, progress: SearchProgress, *, epochs: int | None = None, fast: bool = False
) -> dict[str, Any]:
    """Trains the best trial of the top rung with the recipe and opens the test split.

    Args:
        study: A finished study.
        progress: Told of everything.
        epochs: Of both phases together; None is the search's own.
        fast: Whether to train on the search's stored views instead of on images that are
            augmented anew in every epoch.

    Returns:
        The content of `best/metrics.json`.

    Raises:
        StudyStateError: If the study has not finished, or its weights file has changed.
        DataError: If its images have changed.
        SearchError: If training diverged.
    """
    prepare_devices()
    with study.lock(), memory_errors():
        manifest = study.manifest()
        _require_finished(study, manifest)
        job = Retraining(study, manifest, progress, epochs=epochs, fast=fast)
        start = time.monotonic()
        saved = study.path / SAVED_TRAINING
        outcome = load_outcome(saved, job.key)
        if outcome is None:
            outcome = job.train()
            save_outcome(saved, outcome, job.key)
        else:
            progress.log("Training was finished before; going on with the test.")
        with replacing_folder(study.best_path) as folder:
            job.write(outcome, folder, start)
        saved.unlink()
    return study.metrics() or {}


class Retraining:
    """What the steps of one retraining share.

    Args:
        study: A finished study.
        manifest: Its study.json.
        progress: Told of everything.
        epochs: Of both phases together; None is the search's own.
        fast: Whether to train on the search's stored views.
        trial: Which one; None is the best of the top rung.
        weights: Where the base starts from; None is the study's own weights.
    """

    def __init__(
        self,
        study: StudyFolder,
        manifest: dict[str, Any],
        progress: SearchProgress,
        *,
        epochs: int | None,
        fast: bool,
        trial: str | None = None,
        weights: str | None = None,
    ) -> None:
        self.study, self.manifest, self.progress = study, manifest, progress
        self.options = SearchOptions.from_json(manifest["options"])
        self.classes: list[str] = manifest["classes"]
        records = study.trials()
        known = {record.trial: record for record in records}
        self.trial = known[trial] if trial else best_trial(records, self.options.objective)
        self.configuration = configuration_of(self.trial.hyperparameters)
        self.epochs = epochs or self.options.max_epochs
        self.fast = fast
        self.key = {
            "trial": self.trial.to_json(),
            "epochs": self.epochs,
            "fast": fast,
            "augmentation": AUGMENTATION,
            "commit": git_commit(),
        }
        if fast and manifest["features"].get("augmentation") != AUGMENTATION:
            raise StudyStateError(
                f"study {study.name} was searched on other views.",
                f"Expected {AUGMENTATION}; an older version of this project made its views.",
                f"study best {study.name}, without --fast.",
            )
        self.data = reopen_data(study, manifest)
        self.weights = load_weights(weights or self.options.weights, seed=self.options.seed)
        if weights is None:
            begun_with = manifest.get("weights_sha256", self.weights.sha256)
            require_same_weights(study, begun_with, self.weights)
        self.network = self._network(choose_precision(manifest["precision"]))

    def _network(self, precision: Precision) -> Network:
        size, classes = self.options.image_size, len(self.classes)
        return Network(self.weights, size=size, classes=classes, precision=precision)

    def train(self) -> Outcome:
        """Runs the recipe, keeping weights before training and after each phase."""
        images = self.data.subset("train")
        source: BatchSource = (
            self._stored(images, self.manifest["features"]["views"])
            if self.fast
            else ImageSource(self.network, images)
        )
        validation = self._stored(self.data.subset("validation"), 1)
        try:
            with self.progress.counting("training", self.epochs * len(images)) as done:
                return train(
                    self.network,
                    self.configuration,
                    epochs=self.epochs,
                    training=CountedSource(source, done),
                    validation=validation,
                    seed=self.options.seed,
                    objective=self.options.objective,
                    batch_size=self.options.batch_size,
                    keep_weights=True,
                    on_epoch=lambda epoch: self.progress.epoch_done(record_epoch(epoch)),
                )
        except DivergedError as error:
            raise SearchError(
                "retraining the best trial diverged.",
                f"Expected finite losses; {error}.",
                "study best --epochs as in the search, or a search with lower learning rates.",
            ) from error

    def _stored(self, subset: Subset, views: int) -> FeatureSource:
        stored = self.manifest["features"]["feature_layers"]
        lowest = nearest_feature_layer(
            feature_layer_below(self.configuration.unfreeze_depth), stored
        )
        feature_layers = [
            feature_layer for feature_layer in stored if feature_layer in ("pooled", lowest)
        ]
        store = FeatureStore(self.network, subset, feature_layers)
        store.compute_all(views, self.progress.counting)
        return FeatureSource(store, views=views)

    def write(self, outcome: Outcome, folder: Path, start: float) -> None:
        """Writes the model, opens the test split, and writes what it showed."""
        parameters = self._write_model(outcome, folder)
        kept = {"best": outcome.checkpoints["best"]}
        self._test(kept, "validation", folder / "validation.csv")
        # Recorded before the first look, so that no later crash can hide it.
        self.manifest["test_opened"].append(now())
        self.study.write_manifest(self.manifest)
        predictions = folder / "predictions.csv"
        self._test(outcome.checkpoints, "test", predictions)
        if EXTERNAL in self.manifest["images"]:
            self._test(outcome.checkpoints, EXTERNAL, folder / "external.csv")
        metrics = {
            "study": self.study.name,
            "trial": self.trial.trial,
            "hyperparameters": self.trial.hyperparameters,
            "epochs": self.epochs,
            "trained_on": STORED_VIEWS if self.fast else FRESH_VIEWS,
            "precision": {"training": self.network.precision.name, "test": "float32"},
            "best_epoch": outcome.best_epoch,
            "curve": [asdict(record_epoch(epoch)) for epoch in outcome.curve],
            "parameters": parameters,
            "test": evaluate(read_predictions(predictions), self.classes),
            **scores_by_dataset(folder, self.data.folder),
            "test_opened": self.manifest["test_opened"],
            "commit": git_commit(),
            "versions": versions(),
            "seconds": round(time.monotonic() - start, 1),
        }
        write_json(folder / "metrics.json", metrics)

    def _test(self, checkpoints: Mapping[str, Weights], subset: str, path: Path) -> None:
        """Writes the predictions of each checkpoint, in float32 as the exported model's."""
        table = predict_subset(
            self._network(Precision("float32", "as the exported model")),
            self.configuration,
            checkpoints,
            self.data,
            subset,
            batch_size=self.options.batch_size,
            progress=self.progress,
        )
        write_text(path, table.to_csv(index=False))

    def _write_model(self, outcome: Outcome, folder: Path) -> dict[str, Any]:
        """Writes the float32 model and its summary; returns its parameter counts."""
        model = trained_model(
            self.configuration,
            self.weights,
            outcome.checkpoints["best"],
            size=self.options.image_size,
            classes=len(self.classes),
        )
        counts = parameter_counts(model, self.configuration.unfreeze_depth)
        model.save(folder / KERAS_FILE)
        write_text(folder / "summary.txt", summary_text(model))
        return counts | {"base": self.network.backbone.count_params()}


def _require_finished(study: StudyFolder, manifest: dict[str, Any]) -> None:
    if study.state() != "finished":
        done, planned = len(study.trials()), manifest["planned_trials"]
        raise StudyStateError(
            f"the search of study {study.name} has not finished.",
            f"Expected all {planned} trials; found {done}, state {study.state()}.",
            f"study search --name {study.name} --resume",
        )
