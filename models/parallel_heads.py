"""Several heads of one architecture, each with its own images, trained by one compiled step.

A step of a head on pooled features takes the time of a call, not of its arithmetic; all folds of a
cross-validation in one call take little longer than one. Each head gets what it would get alone.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from concrete_study.models.batch_sources import UNAUGMENTED, Batch, BatchSource
from concrete_study.models.configuration import Architecture, Configuration
from concrete_study.models.head import Head
from concrete_study.models.network import feature_shape
from concrete_study.models.recipe import (
    DEFAULT_BATCH_SIZE,
    TrainedEpoch,
    balanced_weights,
    epoch_order,
    mean,
    plan_phases,
    start_head,
    step_options,
)
from concrete_study.models.steps import Features, StepOptions, compiled
from concrete_study.models.trainable import Network, TrainablePart

MAX_GROUPS = 24  # compiled steps that are kept
MAX_KEPT_ROWS = 8192  # of validation features in memory: up to 40 MB
Sums: TypeAlias = tuple[np.float32, np.int32]  # loss, and number of correct predictions


class ParallelHeads:
    """Trainable parts of one architecture at unfreeze depth 0, and their common steps.

    TensorFlow converts and checks every tensor of a call, which took longer than the arithmetic:
    those of all heads are stacked along a new first axis.
    """

    def __init__(self, network: Network, architecture: Architecture, count: int) -> None:
        self.parts = [
            TrainablePart(network, Head(architecture, network.classes), architecture)
            for _ in range(count)
        ]
        self.feature_layers = self.parts[0].feature_layers
        features = tuple(
            tf.TensorSpec((count, None, *feature_shape(layer, 32)), tf.float32)
            for layer in self.feature_layers
        )
        labels, numbers = tf.TensorSpec((count, None), tf.int32), tf.TensorSpec((3,), tf.float32)
        class_weights = tf.TensorSpec((count, network.classes), tf.float32)
        seeds = tf.TensorSpec((count, 2), tf.int32)
        self._step = compiled(self._train_step, [features, labels, numbers, class_weights, seeds])
        sources = tuple(tf.TensorSpec((None, *f.shape), f.dtype) for f in features)
        self._forward = compiled(self._probabilities, [sources, tf.TensorSpec((count,), tf.int32)])

    def step(self, batches: Sequence[Batch], options: Sequence[StepOptions]) -> list[Sums]:
        """Trains every head on its own batch; returns what `TrainablePart.step` does for each.

        Args:
            batches: Of equal size.
            options: Of each head; they differ in class weights, seed and step alone.
        """
        columns = zip(*(features for features, _ in batches), strict=True)
        first, *_ = options
        equal = (1.0,) * self.parts[0].network.classes
        losses, correct = self._step(
            tuple(np.stack(column).astype(np.float32) for column in columns),
            np.stack([labels for _, labels in batches]),
            np.array([first.dropout, first.weight_decay, first.label_smoothing], np.float32),
            np.array([each.class_weights or equal for each in options], np.float32),
            np.array([(each.seed, each.step) for each in options], np.int32),
        )
        return list(zip(losses.numpy(), correct.numpy(), strict=True))

    def _train_step(
        self,
        features: tuple[tf.Tensor, ...],
        labels: tf.Tensor,
        numbers: tf.Tensor,
        class_weights: tf.Tensor,
        seeds: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        dropout, decay, smoothing = tf.unstack(numbers)
        batches = zip(*map(tf.unstack, (labels, class_weights, seeds)), strict=True)
        sums = [
            part.train_step(given, own, dropout, decay, smoothing, weights, seed)
            for part, given, (own, weights, seed) in zip(
                self.parts, _by_head(features), batches, strict=True
            )
        ]
        losses, correct = zip(*sums, strict=True)
        return tf.stack(losses), tf.stack(correct)

    def predict(self, features: Features, counts: Sequence[int]) -> NDArray[np.float32]:
        """Class probabilities (sources, heads, batch, classes) of a batch of several sources.

        Args:
            features: At each feature layer, (sources, heads, batch, channels).
            counts: The images of each head's batches; probabilities of the others are 0.
        """
        probabilities: NDArray[np.float32] = self._forward(
            features, np.array(counts, np.int32)
        ).numpy()
        return probabilities

    def _probabilities(self, features: tuple[tf.Tensor, ...], counts: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(
            lambda source: self._probabilities_of_source(source, tf.unstack(counts)),
            features,
            fn_output_signature=tf.float32,
        )

    def _probabilities_of_source(
        self, features: tuple[tf.Tensor, ...], counts: Sequence[tf.Tensor]
    ) -> tf.Tensor:
        """Of as many images as a head has: the last bits of a product depend on its rows."""
        size = tf.shape(features[0])[1]
        return tf.stack(
            [
                tf.pad(
                    part.probabilities(tuple(array[:count] for array in given)),
                    [[0, size - count], [0, 0]],
                )
                for part, given, count in zip(self.parts, _by_head(features), counts, strict=True)
            ]
        )


def _by_head(features: tuple[tf.Tensor, ...]) -> list[tuple[tf.Tensor, ...]]:
    return list(zip(*map(tf.unstack, features), strict=True))


class ValidationImages:
    """The validation images of several heads, unaugmented and under shifts, predicted at once.

    Args:
        heads: Of one architecture.
        sources: Of each head, as many as of the others; those of a head have the same images.
        batch_size: At least 1.
    """

    def __init__(
        self, heads: ParallelHeads, sources: Sequence[Sequence[BatchSource]], batch_size: int
    ) -> None:
        self._heads, self._sources, self._batch_size = heads, sources, batch_size
        self._counts = [len(first.subset) for first, *_ in sources]
        self._starts = range(0, max(self._counts), batch_size)
        rows = len(self._starts) * batch_size * sum(map(len, sources))
        # They are the same in every epoch.
        self._kept = list(map(self._batch, self._starts)) if rows <= MAX_KEPT_ROWS else None

    def predict(self) -> list[list[NDArray[np.float32]]]:
        """Class probabilities (images, classes) of every source of every head."""
        batches = self._kept or map(self._batch, self._starts)
        predicted = np.concatenate([self._heads.predict(*batch) for batch in batches], axis=2)
        return [
            [of_source[head, :count] for of_source in predicted]
            for head, count in enumerate(self._counts)
        ]

    def _batch(self, start: int) -> tuple[Features, list[int]]:
        """What `ParallelHeads.predict` takes, from the image with this number."""
        counts = [min(max(count - start, 0), self._batch_size) for count in self._counts]
        layers = self._heads.feature_layers
        shape = len(self._sources[0]), len(self._sources), max(counts)
        blocks = [np.zeros((*shape, *feature_shape(layer, 32)), np.float32) for layer in layers]
        for head, (own, count) in enumerate(zip(self._sources, counts, strict=True)):
            order = np.arange(start, start + count)
            for number, source in enumerate(own):
                # A single batch, or none.
                for features, _ in source.batches(
                    layers, epoch=UNAUGMENTED, order=order, batch_size=self._batch_size
                ):
                    for block, given in zip(blocks, features, strict=True):
                        block[number, head, :count] = given
        return tuple(map(tf.constant, blocks)), counts


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
    validation: Sequence[Sequence[BatchSource]],
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
        validation: Sources of each head: of unaugmented validation images, and of the same
            images under each shift.
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
    validated = ValidationImages(heads, validation, batch_size)
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
            TrainedEpoch(number, phase, *mean(own, images), unaugmented, part, shifted)
            for own, part, (unaugmented, *shifted) in zip(
                zip(*sums, strict=True), heads.parts, validated.predict(), strict=True
            )
        ]
