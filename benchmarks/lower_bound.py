"""The least our search could take: bare passes and bare steps, on arrays in memory, warmed up.

Passes of all views, then the training and validation steps of all trials of our first study:
no decoding, disk, tracing or start-up. `search_speed.py` runs it in a process of its own:
`lower_bound.py FOLDER`, which holds `runs/ours`; the seconds go to `bound.json` there.
"""

import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.batches import Subset, image_batches
from models.base import load_weights
from models.learner import Learner, Network
from models.precision import choose_precision
from models.recipe import plan_phases
from results.folder import StudyFolder
from results.records import TrialRecord
from search.data import reopen_data
from search.options import SearchOptions
from search.space import configuration_of


class Arrays(NamedTuple):
    """A subset's features by cut, and its labels."""

    features: dict[str, NDArray[np.float16]]
    labels: NDArray[np.int32]


def time_bare_loops(study: StudyFolder) -> dict[str, float]:
    """Seconds of all passes and of all steps that the study's trials cannot do without."""
    manifest = study.manifest()
    options = SearchOptions.from_json(manifest["options"])
    data = reopen_data(study, manifest)
    network = Network(
        load_weights(options.weights, seed=options.seed),
        size=options.image_size,
        classes=len(manifest["classes"]),
        precision=choose_precision(manifest["precision"]),
    )
    plan, arrays, pass_seconds = manifest["features"], {}, 0.0
    for name, views in (("train", plan["views"]), ("validation", 1)):
        subset = data.subset(name)
        arrays[name], seconds = bare_passes(network, subset, tuple(plan["cuts"]), views)
        pass_seconds += seconds
    step_seconds = sum(
        bare_trial(network, trial, **arrays, size=options.batch_size) for trial in study.trials()
    )
    seconds = pass_seconds + step_seconds
    return {"pass_seconds": pass_seconds, "step_seconds": step_seconds, "seconds": seconds}


def bare_passes(
    network: Network, subset: Subset, cuts: tuple[str, ...], views: int
) -> tuple[Arrays, float]:
    """Features of decoded images in memory at each cut, and the seconds of all views' passes."""
    batches = [images for images, _ in image_batches(subset, size=network.size, batch_size=32)]
    lower = network.lower(cuts)
    lower(batches[0])
    start = time.perf_counter()
    for _ in range(views):
        outputs = [lower(images) for images in batches]
    seconds = time.perf_counter() - start
    arrays = [np.concatenate(column).astype(np.float16) for column in zip(*outputs, strict=True)]
    return Arrays(dict(zip(cuts, arrays, strict=True)), subset.labels), seconds


def bare_trial(
    network: Network, trial: TrialRecord, *, train: Arrays, validation: Arrays, size: int
) -> float:
    """Seconds of a trial's training and validation steps, nothing else."""
    configuration, seconds = configuration_of(trial.settings), 0.0
    network.restore()
    network.learner(configuration.head_units, 0).head.start(1)
    for phase in plan_phases(configuration, trial.epochs):
        learner = network.learner(configuration.head_units, phase.unfreeze_depth)
        learner.start(phase.learning_rate)
        features, labels = train.features[learner.cut], train.labels
        unseen = validation.features[learner.cut]
        # Untimed, as the first batch of a structure traces.
        bare_epoch(learner, features[:size], labels[:size], unseen[:size], size)
        start = time.perf_counter()
        for _ in range(phase.epochs):
            bare_epoch(learner, features, labels, unseen, size)
        seconds += time.perf_counter() - start
    return seconds


def bare_epoch(
    learner: Learner,
    train: NDArray[np.float16],
    labels: NDArray[np.int32],
    validation: NDArray[np.float16],
    size: int,
) -> None:
    """Steps through the training rows and predicts the validation rows."""
    for start in range(0, len(train), size):
        rows = slice(start, start + size)
        learner.step(train[rows], labels[rows], dropout=0.3, seed=1, step=start)
    for start in range(0, len(validation), size):
        learner.predict(validation[start : start + size])


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    bound = time_bare_loops(StudyFolder(folder / "runs" / "ours"))
    (folder / "bound.json").write_text(json.dumps(bound))
