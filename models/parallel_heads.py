"""Several heads of one architecture, each with its own images, trained by one compiled step.

A step of a head on pooled features takes the time of a call, not of its arithmetic; all folds of a
cross-validation in one call take little longer than one. Each head gets what it would get alone.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import tensorflow as tf

from concrete_study.models.batch_sources import Batch, BatchSource
from concrete_study.models.configuration import Architecture, Configuration
from concrete_study.models.head import Head
from concrete_study.models.recipe import (
    DEFAULT_BATCH_SIZE,
    TrainedEpoch,
    balanced_weights,
    epoch_order,
    mean,
    plan_phases,
    predict,
    start_head,
    step_options,
)
from concrete_study.models.steps import StepOptions, compiled
from concrete_study.models.trainable import Network, TrainablePart

MAX_GROUPS = 24  # compiled steps that are kept


class ParallelHeads:
    """Trainable parts of one architecture at unfreeze depth 0, and their common step."""

    def __init__(self, network: Network, architecture: Architecture, count: int) -> None:
        self.parts = [
            TrainablePart(network, Head(architecture, network.classes), architecture)
            for _ in range(count)
        ]
        self._step = compiled(self._train_step, [[part.signature for part in self.parts]])

    def step(self, batches: Sequence[Batch], options: Sequence[StepOptions]) -> list[Any]:
        """Trains every head on its own batch; returns what `TrainablePart.step` does for each."""
        inputs = [
            part.step_inputs(features, labels, option)
            for part, (features, labels), option in zip(self.parts, batches, options, strict=True)
        ]
        sums: list[Any] = self._step(inputs)
        return sums

    def _train_step(self, batches: Sequence[Sequence[tf.Tensor]]) -> list[Any]:
        return [part.train_step(*batch) for part, batch in zip(self.parts, batches, strict=True)]


@lru_cache(MAX_GROUPS)
def parallel_heads(network: Network, architecture: Architecture, count: int) -> ParallelHeads:
    """The heads of an architecture, compiled once and used by all its trials."""
    return ParallelHeads(network, architecture, count)


def train_heads(
    network: Network,
    configuration: Configuration,
    *,
    epochs: int,
    training: Sequence[BatchSource],
    validation: Sequence[BatchSource],
    seeds: Sequence[int],
    batch_size: int = DEFAULT_BATCH_SIZE,
    balanced: bool = False,
) -> Iterator[list[TrainedEpoch]]:
    """Trains one head for each source, as `recipe.train_epochs` does one after the other.

    Args:
        network: Shared by all trials.
        configuration: Its unfreeze depth is 0.
        epochs: At least 1.
        training: Training batches of each head.
        validation: Validation batches of each head, of unaugmented images.
        seeds: Of each head: decides initial weights, order of images, and dropout.
        batch_size: At least 1.
        balanced: As in `recipe.train_epochs`, by the training images of each head.
    """
    (phase,) = plan_phases(configuration, epochs)
    network.restore()  # features that are not stored come from the backbone
    heads = parallel_heads(network, configuration.architecture(0), len(training))
    for part, source, seed in zip(heads.parts, training, seeds, strict=True):
        start_head(part, source, seed)
        part.start(phase.learning_rate)
    images = max(len(source.subset) for source in training)
    steps = math.ceil(images / batch_size)
    weights = [balanced_weights(source.subset) if balanced else None for source in training]
    for number in range(1, epochs + 1):
        batches = [
            source.batches(
                part.feature_layers,
                epoch=number,
                order=epoch_order(len(source.subset), seed, number, images),
                batch_size=batch_size,
            )
            for part, source, seed in zip(heads.parts, training, seeds, strict=True)
        ]
        options = [
            step_options(configuration, seed, number, steps, own)
            for seed, own in zip(seeds, weights, strict=True)
        ]
        sums = [
            heads.step(given, each)
            for given, each in zip(
                zip(*batches, strict=True), zip(*options, strict=True), strict=True
            )
        ]
        yield [
            TrainedEpoch(number, phase, *mean(own, images), predict(part, source, batch_size), part)
            for own, part, source in zip(
                zip(*sums, strict=True), heads.parts, validation, strict=True
            )
        ]
