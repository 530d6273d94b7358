"""A finished training on disk, so that nothing that fails after it costs it again."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from concrete_study.datasets.files import replacing
from concrete_study.models.recipe import Epoch, Outcome


def save_outcome(path: Path, outcome: Outcome, key: dict[str, Any]) -> None:
    """Writes curve, best epoch and the weights of every checkpoint as one `.npz` file.

    Args:
        path: The file.
        outcome: From `recipe.train` with `keep_weights`.
        key: What the training depended on, as plain JSON types.
    """
    facts = {"key": key, "best_epoch": outcome.best_epoch, "curve": outcome.curve}
    arrays: dict[str, Any] = {
        f"{checkpoint}/{layer}/{number}": array
        for checkpoint, weights in outcome.checkpoints.items()
        for layer, pair in weights.items()
        for number, array in enumerate(pair)
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, facts=np.array(json.dumps(facts)), **arrays)


def load_outcome(path: Path, key: dict[str, Any]) -> Outcome | None:
    """Reads what `save_outcome` wrote; None if there is nothing for this key."""
    if not path.exists():
        return None
    with np.load(path) as stored:
        facts = json.loads(str(stored["facts"]))
        if facts["key"] != key:
            return None
        outcome = Outcome([Epoch(*epoch) for epoch in facts["curve"]], facts["best_epoch"], {})
        for name in stored.files:
            if name != "facts":
                checkpoint, layer, _ = name.split("/")
                outcome.checkpoints.setdefault(checkpoint, {}).setdefault(layer, []).append(
                    stored[name]
                )
    return outcome
