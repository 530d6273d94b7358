"""The recipe: the head on the frozen base, then the top of the base at a low rate.

Expected at the seed's hyperparameters (no dense layer, dropout 0.3, Adam 5e-5, RMSprop 1e-5,
unfreeze depth 3, 5 + 5 epochs) on the METU images: the seed reported 0.9996 test accuracy,
on a random split that tests on copies of its training pictures.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from concrete_study.models.batch_sources import PLAIN, BatchSource
from concrete_study.models.configuration import Configuration
from concrete_study.models.trainable import Network, TrainablePart, Weights

DEFAULT_BATCH_SIZE = 32
Objective = Literal["val_loss", "val_accuracy", "val_macro_f1"]


class Epoch(NamedTuple):
    """One epoch: means over the images, losses in nats, accuracies and F1 in [0, 1]."""

    epoch: int  # from 1, counted through both phases
    phase: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    val_macro_f1: float


class Phase(NamedTuple):
    """One phase of the recipe; phase 1 has unfreeze depth 0."""

    number: int
    unfreeze_depth: int
    epochs: int
    learning_rate: float


class Outcome(NamedTuple):
    """What training left: the curve, its best epoch, and weights to be kept.

    `checkpoints` maps `before_training`, `after_phase_1`, `after_phase_2` (only if the recipe had
    a phase 2) and `kept` to weights by layer name; `kept` are those of `best_epoch`,
    whichever phase it fell in.
    """

    curve: list[Epoch]
    best_epoch: int
    checkpoints: dict[str, Weights]


class DivergedError(Exception):
    """A loss or a weight became infinite or NaN; `curve` holds the epochs before."""

    def __init__(self, message: str, curve: list[Epoch]) -> None:
        super().__init__(message)
        self.curve = curve


def plan_phases(configuration: Configuration, epochs: int) -> list[Phase]:
    """Half the epochs, rounded up, for phase 1 and the rest for phase 2.

    At unfreeze depth 0 phase 1 has them all. Raises ValueError if `epochs` is under 1.
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


def best_epoch(curve: list[Epoch], objective: Objective) -> int:
    """The epoch with the best objective, the first one if several are equal."""
    sign = 1 if objective == "val_loss" else -1
    return min(curve, key=lambda epoch: (sign * getattr(epoch, objective), epoch.epoch)).epoch


def train(
    network: Network,
    configuration: Configuration,
    *,
    epochs: int,
    training: BatchSource,
    validation: BatchSource,
    seed: int,
    objective: Objective = "val_loss",
    batch_size: int = DEFAULT_BATCH_SIZE,
    keep_weights: bool = False,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Outcome:
    """Trains one configuration, starting afresh.

    Args:
        network: Shared by all trials; its convolutions are restored first.
        configuration: What to train.
        epochs: Of both phases together, at least 1.
        training: Training batches.
        validation: Validation batches, always of the plain images.
        seed: Decides the head's first weights, the order of images, and dropout.
        objective: What the best epoch is best at.
        batch_size: At least 1.
        keep_weights: Whether to fill `Outcome.checkpoints`.
        on_epoch: Called after each epoch.

    Raises:
        DivergedError: If a loss or a weight is no longer finite.
    """
    network.restore()
    curve: list[Epoch] = []
    checkpoints: dict[str, Weights] = {}
    units = configuration.head_units
    first = network.trainable(units, 0)
    first.head.start(seed)
    if keep_weights:
        checkpoints["before_training"] = first.weights()
    for phase in plan_phases(configuration, epochs):
        trainable = network.trainable(units, phase.unfreeze_depth)
        trainable.start(phase.learning_rate)
        for number in range(len(curve) + 1, len(curve) + 1 + phase.epochs):
            losses = _train_epoch(
                trainable, training, number, seed=seed, rate=configuration.dropout, size=batch_size
            )
            epoch = Epoch(
                number, phase.number, *losses, *_validate(trainable, validation, batch_size)
            )
            if not (math.isfinite(epoch.loss + epoch.val_loss) and trainable.is_finite()):
                raise DivergedError(f"training diverged in epoch {number}", curve)
            curve.append(epoch)
            on_epoch(epoch)
            if keep_weights and best_epoch(curve, objective) == number:
                checkpoints["best"] = trainable.weights()
        if keep_weights:
            checkpoints[f"after_phase_{phase.number}"] = trainable.weights()
    if keep_weights:
        checkpoints["best"] = checkpoints.pop("best")  # last, as it is the one that counts
    return Outcome(curve, best_epoch(curve, objective), checkpoints)


def _train_epoch(
    trainable: TrainablePart, source: BatchSource, epoch: int, *, seed: int, rate: float, size: int
) -> tuple[float, float]:
    """One pass over the training images; mean loss and accuracy, dropout included."""
    count = len(source.subset)
    random = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    batches = source.batches(
        trainable.feature_layer, epoch=epoch, order=random.permutation(count), batch_size=size
    )
    first_step = (epoch - 1) * math.ceil(count / size)
    sums = [
        trainable.step(features, labels, dropout=rate, seed=seed, step=step)
        for step, (features, labels) in enumerate(batches, start=first_step)
    ]
    loss = sum(float(loss) for loss, _ in sums)
    right = sum(int(right) for _, right in sums)
    return loss / count, right / count


def predict(trainable: TrainablePart, source: BatchSource, batch_size: int) -> NDArray[np.float32]:
    """Class probabilities of every image of a source, plain, in its own order."""
    order = np.arange(len(source.subset))
    batches = source.batches(
        trainable.feature_layer, epoch=PLAIN, order=order, batch_size=batch_size
    )
    return np.concatenate([trainable.predict(features) for features, _ in batches])


def _validate(
    trainable: TrainablePart, source: BatchSource, batch_size: int
) -> tuple[float, float, float]:
    """Mean loss, accuracy and macro F1."""
    probabilities = predict(trainable, source, batch_size)
    labels = source.subset.labels
    right = probabilities[np.arange(len(labels)), labels]
    # Keras' own floor: a probability of 0 costs 16 nats, not infinity.
    loss = float(-np.log(np.maximum(right, 1e-7), dtype=np.float64).mean())
    predicted = probabilities.argmax(1)
    accuracy = float((predicted == labels).mean())
    return loss, accuracy, float(f1_score(labels, predicted, average="macro", zero_division=0))
