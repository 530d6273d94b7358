"""A finished training on disk, so that a failure after it does not repeat it."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from concrete_study.datasets.files import replacing
from concrete_study.models.recipe import Epoch as RecipeEpoch
from concrete_study.models.recipe import Outcome
from concrete_study.results.records import Epoch, Record
from concrete_study.search.recording import epoch_records


class _SavedTraining(Record, frozen=True, kw_only=True):
    key: str
    best_epoch: int
    curve: list[Epoch]


def save_outcome(path: Path, outcome: Outcome, key: str) -> None:
    """Writes learning curve, best epoch and the weights of every checkpoint as one `.npz` file.

    Args:
        path: The file.
        outcome: From `train` with `keep_weights`.
        key: Identifies everything that the training depends on.
    """
    saved = _SavedTraining(
        key=key, best_epoch=outcome.best_epoch, curve=epoch_records(outcome.curve)
    )
    arrays: dict[str, Any] = {
        f"{checkpoint}/{layer}/{number}": array
        for checkpoint, weights in outcome.checkpoints.items()
        for layer, pair in weights.items()
        for number, array in enumerate(pair)
    }
    record = np.array(msgspec.json.encode(saved).decode())
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, record=record, **arrays)


def load_outcome(path: Path, key: str) -> Outcome | None:
    """Reads what `save_outcome` wrote; None if there is nothing for this key."""
    if not path.exists():
        return None
    with np.load(path) as stored:
        try:
            saved = msgspec.json.decode(str(stored["record"]), type=_SavedTraining)
        except msgspec.ValidationError:  # of an earlier version
            return None
        if saved.key != key:
            return None
        curve = [RecipeEpoch(**msgspec.structs.asdict(epoch)) for epoch in saved.curve]
        outcome = Outcome(curve, saved.best_epoch, {})
        for name in stored.files:
            if name != "record":
                checkpoint, layer, _ = name.split("/")
                outcome.checkpoints.setdefault(checkpoint, {}).setdefault(layer, []).append(
                    stored[name]
                )
    return outcome
