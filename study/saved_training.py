"""A finished training on disk, so that a later failure does not make it necessary again."""

import json
from pathlib import Path

import msgspec
import numpy as np

from concrete_study.datasets.files import replacing
from concrete_study.models.trainable import Weights
from concrete_study.results.records import Epoch
from concrete_study.search.training import Outcome


def save_outcome(path: Path, outcome: Outcome, key: str) -> None:
    """Writes learning curve, best epoch and the weights of every checkpoint as one `.npz` file.

    Args:
        path: The file.
        outcome: From `search.training.train` with `keep_checkpoints`.
        key: Identifies everything that the training depends on.
    """
    arrays = {
        f"{checkpoint}/{layer}/{number}": array
        for checkpoint, weights in outcome.checkpoints.items()
        for layer, pair in weights.items()
        for number, array in enumerate(pair)
    }
    head = msgspec.json.encode([key, outcome.curve, outcome.best_epoch]).decode()
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, head=np.array(head), **arrays)  # type: ignore[arg-type]


def load_outcome(path: Path, key: str) -> Outcome | None:
    """Reads what `save_outcome` wrote; None if there is nothing for this key."""
    if not path.exists():
        return None
    with np.load(path) as stored:
        stored_key, curve, best_epoch = json.loads(str(stored["head"]))
        if stored_key != key:
            return None
        checkpoints: dict[str, Weights] = {}
        for name in stored.files:
            if name != "head":
                checkpoint, layer, _ = name.split("/")
                checkpoints.setdefault(checkpoint, {}).setdefault(layer, []).append(stored[name])
    return Outcome(msgspec.convert(curve, list[Epoch]), best_epoch, checkpoints)
