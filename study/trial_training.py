"""Training of a trial with the whole recipe, stored after every epoch."""

from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property

from concrete_study.datasets.augmentation import AUGMENTATION
from concrete_study.datasets.batches import Subset
from concrete_study.datasets.errors import SearchError, StudyStateError
from concrete_study.datasets.shifts import SHIFTS
from concrete_study.models.backbone import load_weights
from concrete_study.models.batch_sources import (
    BatchSource,
    CountedSource,
    FeatureSource,
    ImageSource,
)
from concrete_study.models.devices import training_devices
from concrete_study.models.features import FeatureStore
from concrete_study.models.network import feature_layers_of, nearest_feature_layer
from concrete_study.models.precision import Precision, choose_precision
from concrete_study.models.trainable import Network
from concrete_study.results.environment import git_commit
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import StudyRecord, Views
from concrete_study.results.trials import best_trial
from concrete_study.search.images import reopen_data
from concrete_study.search.manifest import require_same_weights
from concrete_study.search.progress import SearchProgress
from concrete_study.search.space import configuration_of
from concrete_study.search.training import DivergedError, Outcome, train
from concrete_study.study.saved_training import TrainingFile


class TrialTraining:
    """The images, network and options of one trial, to train it with the whole recipe.

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
        self.trial = known[trial] if trial else best_trial(records, self.options)
        self.configuration = configuration_of(self.trial.hyperparameters)
        self.epochs = epochs or self.options.max_epochs
        self.views = views
        self.key = repr((self.trial, self.epochs, views, AUGMENTATION, git_commit()))
        if views == "stored" and manifest.features.augmentation != AUGMENTATION:
            raise StudyStateError(
                f"Study {study.name} has augmented views of another version.",
                f"Expected augmentation {AUGMENTATION}; received {manifest.features.augmentation}.",
                "retrain on new augmented views.",
                parameter="fresh_views",
                study=study.name,
            )
        self.data = reopen_data(study, manifest)
        self.weights = load_weights(weights or self.options.weights, seed=self.options.seed)
        if weights is None:
            require_same_weights(study, manifest.weights_sha256, self.weights)
        self.network = self.network_in(choose_precision(manifest.precision))

    def network_in(self, precision: Precision) -> Network:
        """The untrained network in a number format, on all GPUs of this machine."""
        classes, devices = len(self.classes), training_devices()
        return Network(self.weights, classes=classes, precision=precision, devices=devices)

    def train(self, file: TrainingFile) -> Outcome:
        """Runs the recipe, or the rest of it, and keeps every finished epoch in a file."""
        earlier = file.load()
        done = len(earlier.curve) if earlier else 0
        if earlier and done == self.epochs:
            self.progress.log("Training is already finished; continuing with the evaluation.")
            return earlier
        if done:
            self.progress.log(f"Continuing after epoch {done} of {self.epochs}.")
        if (count := len(self.network.devices)) > 1:
            self.progress.log(f"Each batch is divided over {count} devices.")
        try:
            outcome = self._train(file, earlier)
            file.save()
        except DivergedError as error:
            raise SearchError(
                "Retraining the best trial diverged.",
                f"Expected finite losses; {error}.",
                "retrain with as many epochs as the search, or search with lower learning rates.",
            ) from error
        except BaseException:
            with suppress(OSError):  # the file keeps the epoch before
                file.save()
            if file.epochs:
                self.progress.log(
                    f"{file.epochs} of {self.epochs} epochs are kept; the same command continues "
                    "after them."
                )
            raise
        return outcome

    @cached_property
    def validation_sources(self) -> list[FeatureSource]:
        """The validation images, and the same under each shift."""
        return self._stored(self.data.subset("validation"), 1, shifts=SHIFTS)

    def _train(self, file: TrainingFile, earlier: Outcome | None) -> Outcome:
        images = self.data.subset("train")
        source: BatchSource = (
            self._stored(images, self.manifest.features.views)[0]
            if self.views == "stored"
            else ImageSource(self.network, images, size=self.configuration.image_size)
        )
        validation, *shifted = self.validation_sources
        left = self.epochs - (len(earlier.curve) if earlier else 0)
        with self.progress.counting("training", left * len(images)) as done:
            return train(
                self.network,
                self.configuration,
                epochs=self.epochs,
                training=CountedSource(source, done),
                validation=validation,
                seed=self.options.seed,
                objective=self.options.objective,
                positive_class=self.manifest.positive_class,
                batch_size=self.options.batch_size,
                balanced=self.manifest.class_weight == "balanced",
                on_epoch=self.progress.epoch_done,
                shifted=shifted,
                earlier=earlier,
                on_outcome=file.update,
            )

    def _stored(
        self, subset: Subset, views: int, *, shifts: Iterable[str] = ()
    ) -> list[FeatureSource]:
        """Stored features of a subset, and the same under each shift."""
        stored = self.manifest.features.feature_layers
        phases = {0, self.configuration.unfreeze_depth}
        needed = {
            nearest_feature_layer(layer, stored)
            for depth in phases
            for layer in feature_layers_of(self.configuration.architecture(depth))
        }
        layers = [layer for layer in stored if layer in needed]
        store = FeatureStore(self.network, subset, layers, size=self.configuration.image_size)
        store.compute_all([*range(views), *shifts], self.progress.counting, log=self.progress.log)
        shifted = [FeatureSource(store, 1, shift=shift) for shift in shifts]
        return [FeatureSource(store, views), *shifted]
