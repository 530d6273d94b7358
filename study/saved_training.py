"""A training on disk, from which it continues after an interruption or a later failure."""

import json
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from concrete_study.datasets.files import replacing
from concrete_study.models.head import Weights
from concrete_study.results.records import Epoch
from concrete_study.search.training import Outcome

# Writing takes at most one part in this many of the training time. At unfreeze depth 13 a file of
# 177 MB takes 1 s on a local disk, so that a kill loses at most 20 s; at depth 3, half of that.
LARGEST_SHARE = 20


class TrainingFile:
    """Keeps the last finished epoch of a training in one `.npz` file.

    Args:
        path: The file.
        key: Identifies everything that the training depends on.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self.seconds = 0.0  # that the training took in earlier processes
        self.epochs = 0  # in the file
        self._began = self._wrote = time.monotonic()
        self._cost = 0.0  # seconds to write the file
        self._latest: Outcome | None = None

    def load(self) -> Outcome | None:
        """The stored outcome; None if there is nothing for this key, or the file is damaged."""
        try:
            with self.path.open("rb") as opened, np.load(opened) as stored:
                key, curve, best_epoch, seconds = json.loads(str(stored["head"]))
                if key != self.key:
                    return None
                outcome = Outcome(msgspec.convert(curve, list[Epoch]), best_epoch, {}, [])
                for name in stored.files:
                    _assign(outcome, name, stored[name])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        self.seconds, self.epochs = seconds, len(outcome.curve)
        return outcome

    def update(self, outcome: Outcome) -> None:
        """Writes the outcome after an epoch, unless writing would take too much of the time."""
        self._latest = outcome
        if time.monotonic() - self._wrote >= LARGEST_SHARE * self._cost:
            self.save()

    def save(self) -> None:
        """Writes the latest outcome if the file does not have it yet.

        Raises:
            OSError: If the disk is full; the file then still has an earlier epoch.
        """
        if self._latest is None or len(self._latest.curve) == self.epochs:
            return
        start = time.monotonic()
        seconds = self.seconds + start - self._began
        latest = self._latest
        head = msgspec.json.encode([self.key, latest.curve, latest.best_epoch, seconds]).decode()
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, head=np.array(head), **dict(_arrays(latest)))  # type: ignore[arg-type]
        self.epochs = len(latest.curve)
        self._wrote = time.monotonic()
        self._cost = self._wrote - start

    def remove(self) -> None:
        """Removes the file once its result is stored."""
        self.path.unlink(missing_ok=True)


def _arrays(outcome: Outcome) -> Iterable[tuple[str, NDArray[Any]]]:
    for checkpoint, weights in outcome.checkpoints.items():
        for layer, pair in weights.items():
            for number, array in enumerate(pair):
                yield f"{checkpoint}/{layer}/{number}", array
    for number, array in enumerate(outcome.optimizer):
        yield f"optimizer/{number}", array


def _assign(outcome: Outcome, name: str, array: NDArray[Any]) -> None:
    """Puts an array where `_arrays` found it; arrays come in the same order."""
    kind, *layer = name.split("/")
    if kind == "optimizer":
        outcome.optimizer.append(array)
    elif kind != "head":
        weights: Weights = outcome.checkpoints.setdefault(kind, {})
        weights.setdefault(layer[0], []).append(array)
