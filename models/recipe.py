"""The recipe: the head on the frozen backbone, then the top of the backbone at a low learning rate.

Expected at the reference recipe's hyperparameters (no dense layer, dropout 0.3, Adam 5e-5, RMSprop
1e-5, unfreeze depth 3, 5 + 5 epochs) on the METU images: a test accuracy of 0.9996, reported on a
random split that has near-duplicates of training images in its test subset.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from concrete_study.datasets.batches import Subset
from concrete_study.models.batch_sources import UNAUGMENTED, BatchSource
from concrete_study.models.configuration import STANDARDISED, Configuration
from concrete_study.models.head import Weights
from concrete_study.models.steps import StepOptions
from concrete_study.models.trainable import Network, TrainablePart

DEFAULT_BATCH_SIZE = 32


class Phase(NamedTuple):
    """One phase of the recipe; phase 1 has unfreeze depth 0."""

    number: Literal[1, 2]
    unfreeze_depth: int
    epochs: int
    learning_rate: float


class TrainedEpoch(NamedTuple):
    """The network right after one epoch; the next epoch changes it.

    Attributes:
        number: From 1, counted through both phases.
        phase: The phase that the epoch belongs to.
        loss: Mean training loss in nats, dropout included.
        accuracy: Training accuracy in [0, 1], dropout included.
        probabilities: Of the validation images, shape (images, classes), float32.
        trainable: The trainable part, to read its weights.
        shifted: Probabilities of the validation images under each shift.
    """

    number: int
    phase: Phase
    loss: float
    accuracy: float
    probabilities: NDArray[np.float32]
    trainable: TrainablePart
    shifted: Sequence[NDArray[np.float32]] = ()


class Position(NamedTuple):
    """A trainable part right after one epoch, from which training continues bit for bit.

    Random numbers depend on the seed, the epoch and the step alone, so this is all there is.
    """

    epoch: int
    weights: Weights
    optimizer: list[NDArray[Any]]


def plan_phases(configuration: Configuration, epochs: int) -> list[Phase]:
    """Half the epochs, rounded up, for phase 1 and the rest for phase 2.

    At unfreeze depth 0 phase 1 has them all.

    Raises:
        ValueError: If `epochs` is below 1.
    """
    if epochs < 1:
        raise ValueError(f"Expected at least 1 epoch. Received: epochs={epochs}")
    depth = configuration.unfreeze_depth
    first = math.ceil(epochs / 2) if depth else epochs
    phases = [Phase(1, 0, first, configuration.head_learning_rate)]
    if epochs > first:
        rate = configuration.fine_tune_learning_rate
        phases.append(Phase(2, depth, epochs - first, rate))
    return phases


def initialize(
    network: Network, configuration: Configuration, training: BatchSource, seed: int
) -> Weights:
    """Resets the backbone and draws the head's weights; returns those of the head.

    Standardised features get the mean and variance of the unaugmented training images.
    """
    network.restore()
    trainable = network.trainable(configuration.architecture(0))
    start_head(trainable, training, seed)
    return trainable.weights()


def start_head(trainable: TrainablePart, source: BatchSource, seed: int) -> None:
    """Draws a head's weights; takes mean and variance of standardised features from a source."""
    trainable.head.start(seed)
    if trainable.head.scaling == STANDARDISED:
        order = np.arange(len(source.subset))
        batches = source.batches(
            trainable.feature_layers, epoch=UNAUGMENTED, order=order, batch_size=DEFAULT_BATCH_SIZE
        )
        pooled = [np.concatenate(features, 1) for features, _ in batches]
        trainable.head.adapt(np.concatenate(pooled, dtype="float32"))


def train_epochs(
    network: Network,
    configuration: Configuration,
    *,
    epochs: int,
    training: BatchSource,
    validation: BatchSource,
    seed: int,
    shifted: Sequence[BatchSource] = (),
    batch_size: int = DEFAULT_BATCH_SIZE,
    images: int | None = None,
    balanced: bool = False,
    after: Position | None = None,
) -> Iterator[TrainedEpoch]:
    """Trains one configuration and yields after each epoch.

    Args:
        network: Shared by all trials.
        configuration: What to train.
        epochs: Of both phases together, at least 1.
        training: Training batches.
        validation: Validation batches, always of the unaugmented images.
        seed: Decides the head's initial weights, the order of images, and dropout.
        shifted: Batches of the validation images under each shift.
        batch_size: At least 1.
        images: Number of images of an epoch; beyond the training images the first ones of the
            epoch come again. None takes each once.
        balanced: Whether losses are weighted by `balanced_weights` of the training images.
        after: Where an earlier process stopped; None starts from the initial weights.
    """
    initialize(network, configuration, training, seed)
    weights = balanced_weights(training.subset) if balanced else None
    number = 0
    for phase in plan_phases(configuration, epochs):
        trainable = network.trainable(configuration.architecture(phase.unfreeze_depth))
        trainable.start(phase.learning_rate)
        for _ in range(phase.epochs):
            number += 1
            if after is not None and number <= after.epoch:
                if number == after.epoch:
                    trainable.restore(after.weights, after.optimizer)
                continue
            order = epoch_order(len(training.subset), seed, number, images)
            batches = training.batches(
                trainable.feature_layers, epoch=number, order=order, batch_size=batch_size
            )
            steps = math.ceil(len(order) / batch_size)
            options = step_options(configuration, seed, number, steps, weights)
            sums = [
                trainable.step(features, labels, option)
                for (features, labels), option in zip(batches, options, strict=True)
            ]
            loss, accuracy = mean(sums, len(order))
            probabilities, *under_shifts = (
                predict(trainable, source, batch_size) for source in (validation, *shifted)
            )
            yield TrainedEpoch(
                number, phase, loss, accuracy, probabilities, trainable, under_shifts
            )


def epoch_order(count: int, seed: int, epoch: int, images: int | None = None) -> NDArray[np.int64]:
    """The order of `count` images in an epoch, repeated or cut to `images`."""
    random = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    order = random.permutation(count)
    return order if images is None else np.resize(order, images)


def balanced_weights(subset: Subset) -> tuple[float, ...]:
    """Factors by which all classes contribute equally to the loss; scikit-learn's "balanced".

    A class without images has no loss to weight; its factor counts for nothing.
    """
    counts = np.bincount(subset.labels, minlength=len(subset.classes))
    weights = len(subset) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return tuple(map(float, weights))


def step_options(
    configuration: Configuration,
    seed: int,
    epoch: int,
    steps: int,
    class_weights: tuple[float, ...] | None = None,
) -> Iterator[StepOptions]:
    """The options of each step of an epoch."""
    for step in range((epoch - 1) * steps, epoch * steps):
        yield StepOptions(
            configuration.dropout,
            seed,
            step,
            configuration.weight_decay,
            configuration.label_smoothing,
            class_weights,
        )


def mean(sums: Sequence[tuple[tf.Tensor, tf.Tensor]], images: int) -> tuple[float, float]:
    """Mean loss and accuracy of an epoch, dropout included, from the sums of its steps."""
    loss = sum(float(loss) for loss, _ in sums)
    correct = sum(int(correct) for _, correct in sums)
    return loss / images, correct / images


def predict(trainable: TrainablePart, source: BatchSource, batch_size: int) -> NDArray[np.float32]:
    """Class probabilities (images, classes) of a source's unaugmented images, in its order."""
    order = np.arange(len(source.subset))
    batches = source.batches(
        trainable.feature_layers, epoch=UNAUGMENTED, order=order, batch_size=batch_size
    )
    return np.concatenate([trainable.predict(features) for features, _ in batches])
