"""The best trial, trained once more with the recipe, and tested once."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.batches import Subset
from datasets.errors import SearchError, StudyStateError
from datasets.files import write_json, write_text
from models.base import load_weights
from models.export import (
    KERAS_FILE,
    parameter_counts,
    summary_text,
    trained_model,
)
from models.features import FeatureStore
from models.learner import Network
from models.network import cut_below
from models.precision import Precision, choose_precision
from models.recipe import DivergedError, Outcome, train
from models.sources import Batch, FeatureSource, ImageSource, Source
from models.stages import predict_stages
from results.evaluation import evaluate, read_predictions
from results.folder import StudyFolder
from results.records import TrialRecord
from results.trials import best_trial
from search.data import StudyData, reopen_data
from search.environment import git_commit, versions
from search.manifest import now, require_same_weights
from search.options import SearchOptions
from search.progress import Progress
from search.runner import record_epoch
from search.space import configuration_of


def retrain(
    study: StudyFolder, progress: Progress, *, epochs: int | None = None, fast: bool = False
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
    manifest = study.manifest()
    _require_finished(study, manifest)
    options = SearchOptions.from_json(manifest["options"])
    trial = best_trial(study.trials(), options.objective)
    data = reopen_data(study, Path(manifest["data"]), manifest["classes"])
    with study.lock(), _new_folder(study.best_path) as folder:
        start = time.monotonic()
        job = _Retraining(options, manifest, data, trial, progress)
        require_same_weights(study, manifest.get("weights_sha256", job.weights.sha256), job.weights)
        outcome = job.train(epochs or trial.epochs, fast=fast)
        model_facts = job.save_model(outcome, folder)
        # Recorded before the first look, so that no later crash can hide it.
        manifest["test_opened"].append(now())
        study.write_manifest(manifest)
        predictions = folder / "predictions.csv"
        write_text(predictions, job.predict(outcome).to_csv(index=False))
        metrics = {
            "study": study.name,
            "trial": trial.trial,
            "settings": trial.settings,
            "epochs": epochs or trial.epochs,
            "trained_on": "stored views" if fast else "images, augmented anew every epoch",
            "precision": {"training": job.network.precision.name, "test": "float32"},
            "selected_epoch": outcome.best_epoch,
            "curve": [asdict(record_epoch(epoch)) for epoch in outcome.curve],
            "parameters": model_facts,
            "test": evaluate(read_predictions(predictions), manifest["classes"]),
            "test_opened": manifest["test_opened"],
            "commit": git_commit(),
            "versions": versions(),
            "seconds": round(time.monotonic() - start, 1),
        }
        write_json(folder / "metrics.json", metrics)
    return metrics


class _Retraining:
    """What the steps of one retraining share."""

    def __init__(
        self,
        options: SearchOptions,
        manifest: dict[str, Any],
        data: StudyData,
        trial: TrialRecord,
        progress: Progress,
    ) -> None:
        self.options, self.data, self.progress = options, data, progress
        self.classes: list[str] = manifest["classes"]
        self.stored_cuts: list[str] = manifest["features"]["cuts"]
        self.views: int = manifest["features"]["views"]
        self.configuration = configuration_of(trial.settings)
        self.weights = load_weights(options.weights, seed=options.seed)
        self.network = self._network(choose_precision(manifest["precision"]))

    def _network(self, precision: Precision) -> Network:
        size, classes = self.options.image_size, len(self.classes)
        return Network(self.weights, size=size, classes=classes, precision=precision)

    def train(self, epochs: int, *, fast: bool) -> Outcome:
        """Runs the recipe, keeping weights before training and after each phase."""
        images = self.data.subset("train")
        source: Source = (
            self._stored(images, self.views) if fast else ImageSource(self.network, images)
        )
        validation = self._stored(self.data.subset("validation"), 1)
        try:
            with self.progress.counting("training", epochs * len(images)) as done:
                return train(
                    self.network,
                    self.configuration,
                    epochs=epochs,
                    train=_Counted(source, done),
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
        needed = {"pooled", cut_below(self.configuration.unfreeze_depth)}
        cuts = [cut for cut in self.stored_cuts if cut in needed]
        store = FeatureStore(self.network, subset, cuts)
        store.compute_all(views, self.progress.counting)
        return FeatureSource(store, views=views)

    def save_model(self, outcome: Outcome, folder: Path) -> dict[str, Any]:
        """Writes the float32 model and its summary; returns its parameter counts."""
        model = trained_model(
            self.configuration,
            self.weights,
            list(outcome.stages.values())[-1],
            size=self.options.image_size,
            classes=len(self.classes),
        )
        counts = parameter_counts(model, self.configuration.unfreeze_depth)
        model.save(folder / KERAS_FILE)
        write_text(folder / "summary.txt", summary_text(model))
        return counts | {"base": self.network.base.count_params()}

    def predict(self, outcome: Outcome) -> pd.DataFrame:
        """Predictions of every stage on the test images, in float32 as the export's."""
        test = self.data.subset("test")
        files = [row.file for row in self.data.rows if row.subset == "test"]
        with self.progress.counting("testing", len(test)) as done:
            answers = predict_stages(
                self._network(Precision("float32", "as the exported model")),
                self.configuration,
                outcome.stages,
                test,
                batch_size=self.options.batch_size,
                on_images=done,
            )
        truth = [self.classes[label] for label in test.labels]
        columns = [f"p_{name}" for name in self.classes]
        return pd.concat(
            [
                pd.DataFrame({"file": files, "class": truth, "stage": stage}).join(
                    pd.DataFrame(probabilities, columns=columns)
                )
                for stage, probabilities in answers.items()
            ]
        )


class _Counted:
    """A source that tells how many images it has given."""

    def __init__(self, source: Source, done: Callable[[int], None]) -> None:
        self._source, self._done = source, done
        self.subset = source.subset

    def batches(
        self, cut: str, *, epoch: int, order: NDArray[np.int64], batch_size: int
    ) -> Iterator[Batch]:
        """See `Source`."""
        for features, labels in self._source.batches(
            cut, epoch=epoch, order=order, batch_size=batch_size
        ):
            yield features, labels
            self._done(len(labels))


def _require_finished(study: StudyFolder, manifest: dict[str, Any]) -> None:
    if study.state() != "finished":
        done, planned = len(study.trials()), manifest["planned_trials"]
        raise StudyStateError(
            f"the search of study {study.name} has not finished.",
            f"Expected all {planned} trials; found {done}, state {study.state()}.",
            f"study search --name {study.name} --resume",
        )


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """A folder that takes the place of `path` when the block ends well."""
    temporary = path.with_name(f".{path.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
