"""A lower bound of our search's time: forward passes and steps alone, on arrays in memory.

Forward passes of all views, then the training and validation steps of all trials of our first
study: no decoding, disk, tracing or start-up. `search_speed.py` runs it in a process of its own:
`lower_bound.py FOLDER`, which holds `runs/ours`; the seconds go to `bound.json` there.
"""

import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from concrete_study.datasets.batches import Subset, image_batches
from concrete_study.models.backbone import load_weights
from concrete_study.models.precision import choose_precision
from concrete_study.models.recipe import plan_phases
from concrete_study.models.steps import Features, StepOptions
from concrete_study.models.trainable import Network, TrainablePart
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import TrialRecord
from concrete_study.search.images import reopen_data
from concrete_study.search.space import configuration_of, image_sizes


class Arrays(NamedTuple):
    """A subset's features by feature layer, and its labels."""

    features: dict[str, NDArray[np.float16]]
    labels: NDArray[np.int32]


def time_bare_loops(study: StudyFolder) -> dict[str, float]:
    """Seconds of all forward passes and of all steps of the study's trials."""
    manifest = study.manifest()
    options = manifest.options
    data = reopen_data(study, manifest)
    network = Network(
        load_weights(options.weights, seed=options.seed),
        classes=len(manifest.classes),
        precision=choose_precision(manifest.precision),
    )
    plan, pass_seconds, step_seconds = manifest.features, 0.0, 0.0
    for image_size in image_sizes(options.space):
        arrays = {}
        for name, views in (("train", plan.views), ("validation", 1)):
            subset, layers = data.subset(name), plan.feature_layers
            arrays[name], seconds = bare_passes(network, subset, layers, views, image_size)
            pass_seconds += seconds
        step_seconds += sum(
            bare_trial(network, trial, **arrays, size=options.batch_size)
            for trial in study.trials()
            if trial.hyperparameters["image_size"] == image_size
        )
    seconds = pass_seconds + step_seconds
    return {"pass_seconds": pass_seconds, "step_seconds": step_seconds, "seconds": seconds}


def bare_passes(
    network: Network, subset: Subset, layers: tuple[str, ...], views: int, image_size: int
) -> tuple[Arrays, float]:
    """Features of decoded images at each feature layer, and the seconds of all forward passes."""
    batches = [images for images, _ in image_batches(subset, size=image_size, batch_size=32)]
    frozen = network.frozen_backbone(layers)
    frozen(batches[0])
    start = time.perf_counter()
    for _ in range(views):
        outputs = [frozen(images) for images in batches]
    seconds = time.perf_counter() - start
    arrays = [np.concatenate(column).astype(np.float16) for column in zip(*outputs, strict=True)]
    return Arrays(dict(zip(layers, arrays, strict=True)), subset.labels), seconds


def bare_trial(
    network: Network, trial: TrialRecord, *, train: Arrays, validation: Arrays, size: int
) -> float:
    """Seconds of a trial's training and validation steps, nothing else."""
    configuration, seconds = configuration_of(trial.hyperparameters), 0.0
    network.restore()
    network.trainable(configuration.architecture(0)).head.start(seed=1)
    for phase in plan_phases(configuration, trial.epochs):
        trainable = network.trainable(configuration.architecture(phase.unfreeze_depth))
        trainable.start(phase.learning_rate)
        features, unseen = (
            tuple(arrays.features[layer] for layer in trainable.feature_layers)
            for arrays in (train, validation)
        )
        labels = train.labels
        # Not timed: the first batch of an architecture traces.
        bare_epoch(trainable, features, labels[:size], unseen, size, count=size)
        start = time.perf_counter()
        for _ in range(phase.epochs):
            bare_epoch(trainable, features, labels, unseen, size)
        seconds += time.perf_counter() - start
    return seconds


def bare_epoch(
    trainable: TrainablePart,
    train: Features,
    labels: NDArray[np.int32],
    validation: Features,
    size: int,
    *,
    count: int | None = None,
) -> None:
    """Steps through the training rows and predicts the validation rows; of each the first ones."""
    for start in range(0, len(labels), size):
        rows = slice(start, start + size)
        batch = tuple(array[rows] for array in train)
        trainable.step(batch, labels[rows], StepOptions(0.3, 1, start))
    for start in range(0, count or len(validation[0]), size):
        trainable.predict(tuple(array[start : start + size] for array in validation))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    bound = time_bare_loops(StudyFolder(folder / "runs" / "ours"))
    (folder / "bound.json").write_text(json.dumps(bound))
