"""Retraining of the best trial with the whole recipe, and its evaluation on the test split."""

import time
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from concrete_study.datasets.augmentation import AUGMENTATION
from concrete_study.datasets.batches import Subset
from concrete_study.datasets.errors import SearchError, StudyStateError, UnfinishedStudyError
from concrete_study.datasets.files import replacing_folder, write_text
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
from concrete_study.models.trainable import Network, Weights
from concrete_study.results.environment import git_commit, now, versions
from concrete_study.results.evaluation import evaluate, read_predictions
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import (
    Parameters,
    Precisions,
    RetrainingRecord,
    StudyRecord,
    Views,
)
from concrete_study.results.stored import write_record
from concrete_study.results.trials import best_trial
from concrete_study.search.images import reopen_data
from concrete_study.search.manifest import require_same_weights
from concrete_study.search.progress import SearchProgress
from concrete_study.search.space import configuration_of
from concrete_study.search.training import DivergedError, Outcome, train
from concrete_study.study.evaluation import predict_subset, scores_by_dataset
from concrete_study.study.saved_training import load_outcome, save_outcome

SAVED_TRAINING = ".training.npz"  # a finished training, until its evaluation is written


def retrain(
    study: StudyFolder, progress: SearchProgress, *, epochs: int | None = None, fast: bool = False
) -> RetrainingRecord:
    """Trains the best trial of the top rung with the recipe, and opens the test split.

    Args:
        study: A finished study.
        progress: Receives messages and progress.
        epochs: Of both phases together; None takes the search's.
        fast: Whether to train on the stored augmented views of the search, instead of new ones
            in every epoch.

    Returns:
        The content of `best/metrics.json`.

    Raises:
        UnfinishedStudyError: If the search is not finished.
        StudyStateError: If the weights file has changed.
        DataError: If its images have changed.
        SearchError: If training diverged.
    """
    prepare_devices()
    with study.lock(), memory_errors():
        manifest = study.manifest()
        _require_finished(study, manifest)
        views: Views = "stored" if fast else "fresh"
        job = Retraining(study, manifest, progress, epochs=epochs, views=views)
        start = time.monotonic()
        saved = study.path / SAVED_TRAINING
        outcome = load_outcome(saved, job.key)
        if outcome is None:
            outcome = job.train()
            save_outcome(saved, outcome, job.key)
        else:
            progress.log("Training is already finished; continuing with the evaluation.")
        with replacing_folder(study.best_path) as folder:
            job.write(outcome, folder, start)
        saved.unlink()
    return study.required_metrics()


class Retraining:
    """The state that the steps of one retraining share.

    Args:
        study: A finished study.
        manifest: Its study.json.
        progress: Receives messages and progress.
        epochs: Of both phases together; None takes the search's.
        views: Whether to train on new augmented views, or on the search's stored ones.
        trial: Its id; None takes the best of the top rung.
        weights: Weights of the backbone; None takes the study's.
    """

    def __init__(
        self,
        study: StudyFolder,
        manifest: StudyRecord,
        progress: SearchProgress,
        *,
        epochs: int | None,
        views: Views,
        trial: str | None = None,
        weights: str | None = None,
    ) -> None:
        self.study, self.manifest, self.progress = study, manifest, progress
        self.options, self.classes = manifest.options, manifest.classes
        records = study.trials()
        known = {record.trial: record for record in records}
        self.trial = known[trial] if trial else best_trial(records, self.options.objective)
        self.configuration = configuration_of(self.trial.hyperparameters)
        self.epochs = epochs or self.options.max_epochs
        self.views = views
        self.key = repr((self.trial, self.epochs, views, AUGMENTATION, git_commit()))
        if views == "stored" and manifest.features.augmentation != AUGMENTATION:
            raise StudyStateError(
                f"Study {study.name} has augmented views of another version.",
                f"Expected augmentation {AUGMENTATION}; received {manifest.features.augmentation}.",
                "retrain on fresh views.",
                parameter="fast",
                study=study.name,
            )
        self.data = reopen_data(study, manifest)
        self.weights = load_weights(weights or self.options.weights, seed=self.options.seed)
        if weights is None:
            require_same_weights(study, manifest.weights_sha256, self.weights)
        self.network = self._network(choose_precision(manifest.precision))

    def _network(self, precision: Precision) -> Network:
        size, classes = self.options.image_size, len(self.classes)
        return Network(self.weights, size=size, classes=classes, precision=precision)

    def train(self) -> Outcome:
        """Runs the recipe, keeping weights before training and after each phase."""
        images = self.data.subset("train")
        source: BatchSource = (
            self._stored(images, self.manifest.features.views)
            if self.views == "stored"
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
                    keep_checkpoints=True,
                    on_epoch=self.progress.epoch_done,
                )
        except DivergedError as error:
            raise SearchError(
                "Retraining the best trial diverged.",
                f"Expected finite losses; {error}.",
                "retrain with as many epochs as the search, or search with lower learning rates.",
            ) from error

    def _stored(self, subset: Subset, views: int) -> FeatureSource:
        stored = self.manifest.features.feature_layers
        lowest = nearest_feature_layer(
            feature_layer_below(self.configuration.unfreeze_depth), stored
        )
        layers = [layer for layer in stored if layer in ("pooled", lowest)]
        store = FeatureStore(self.network, subset, layers)
        store.compute_all(views, self.progress.counting)
        return FeatureSource(store, views=views)

    def write(self, outcome: Outcome, folder: Path, start: float) -> None:
        """Writes the model, opens the test split, and writes predictions and metrics."""
        parameters = self._write_model(outcome, folder)
        best = {"best": outcome.checkpoints["best"]}
        self._predict(best, "validation", folder / "validation.csv")
        # Recorded before the first look, so that no later crash can hide it.
        opened = [*self.manifest.test_opened, now()]
        self.manifest = replace(self.manifest, test_opened=opened)
        self.study.write_manifest(self.manifest)
        predictions, positive = folder / "predictions.csv", self.manifest.positive_class
        self._predict(outcome.checkpoints, "test", predictions)
        if EXTERNAL in self.manifest.images:
            self._predict(outcome.checkpoints, EXTERNAL, folder / "external.csv")
        record = RetrainingRecord(
            study=self.study.name,
            trial=self.trial.trial,
            hyperparameters=self.trial.hyperparameters,
            epochs=self.epochs,
            views=self.views,
            precision=Precisions(training=self.network.precision.name, test="float32"),
            best_epoch=outcome.best_epoch,
            curve=outcome.curve,
            parameters=parameters,
            backbone_parameters=self.network.backbone.count_params(),
            test=evaluate(read_predictions(predictions), self.classes, positive),
            by_dataset=scores_by_dataset(folder, self.data.folder, positive),
            test_opened=opened,
            commit=git_commit(),
            versions=versions(),
            seconds=round(time.monotonic() - start, 1),
        )
        write_record(folder / self.study.metrics_path.name, record)

    def _predict(self, checkpoints: Mapping[str, Weights], subset: str, path: Path) -> None:
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

    def _write_model(self, outcome: Outcome, folder: Path) -> dict[str, Parameters]:
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
        return {phase: Parameters(**count) for phase, count in counts.items()}


def _require_finished(study: StudyFolder, manifest: StudyRecord) -> None:
    if (state := study.state()) != "finished":
        raise UnfinishedStudyError(
            f"The search of study {study.name} is not finished.",
            f"Expected {manifest.planned_trials} trials; found {len(study.trials())} ({state}).",
            study=study.name,
        )
