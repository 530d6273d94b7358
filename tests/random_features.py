"""Random features in memory as a source of batches, and a configuration to train on them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from concrete_study.datasets.batches import Subset
from concrete_study.models.batch_sources import Batch
from concrete_study.models.configuration import Configuration
from concrete_study.models.network import FEATURE_LAYERS, feature_shape

SIZE = 32


def configuration(depth: int, rate: float = 1e-3) -> Configuration:
    return Configuration(
        head_units=16,
        dropout=0.2,
        unfreeze_depth=depth,
        head_learning_rate=rate,
        image_size=SIZE,
        fine_tune_learning_rate=1e-5,
    )


class RandomFeatures:
    """Random features; those of class 1 are larger, so there is something to learn."""

    def __init__(self, count: int, seed: int) -> None:
        labels = np.arange(count, dtype=np.int32) % 2
        self.subset = Subset("made", [Path()] * count, labels, [""] * count, ["no", "yes"])
        random = np.random.default_rng(seed)
        self.features = {
            layer: random.uniform(0, 1, (count, *feature_shape(layer, SIZE))).astype("float32")
            for layer in FEATURE_LAYERS
        }
        for array in self.features.values():
            array[labels == 1] *= 1.5

    def batches(
        self, layers: tuple[str, ...], *, epoch: int, order: NDArray[np.int64], batch_size: int
    ) -> Iterator[Batch]:
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            yield tuple(self.features[layer][rows] for layer in layers), self.subset.labels[rows]
