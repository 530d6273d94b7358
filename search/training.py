"""Training one configuration: its learning curve, best epoch and checkpoints."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from concrete_study.datasets.batches import Subset
from concrete_study.models.batch_sources import BatchSource
from concrete_study.models.configuration import Configuration
from concrete_study.models.head import Weights
from concrete_study.models.recipe import (
    DEFAULT_BATCH_SIZE,
    Position,
    TrainedEpoch,
    initialize,
    train_epochs,
)
from concrete_study.models.trainable import Network, TrainablePart
from concrete_study.results.metrics import macro_f1, ranking_scores, validation_scores
from concrete_study.results.objectives import find_objective
from concrete_study.results.records import Epoch
from concrete_study.results.statistics import log_loss


class Outcome(NamedTuple):
    """The result of training one configuration.

    Attributes:
        curve: The learning curve, one record per epoch.
        best_epoch: The epoch with the best objective, from 1; the first of equal ones.
        checkpoints: Weights `before_training`, `after_phase_1`, `after_phase_2` (only if there
            is a phase 2) and `best`, those of `best_epoch`; empty if they were not kept.
        optimizer: Its variables after the last epoch; empty if checkpoints were not kept.
    """

    curve: list[Epoch]
    best_epoch: int
    checkpoints: dict[str, Weights]
    optimizer: list[NDArray[Any]]

    def position(self) -> Position:
        """Where training continues after the last epoch."""
        last = self.curve[-1]
        return Position(last.epoch, self.checkpoints[f"after_phase_{last.phase}"], self.optimizer)


class DivergedError(Exception):
    """A loss or a weight became infinite or NaN; `curve` holds the epochs before."""

    def __init__(self, message: str, curve: list[Epoch]) -> None:
        super().__init__(message)
        self.curve = curve


def train(
    network: Network,
    configuration: Configuration,
    *,
    epochs: int,
    training: BatchSource,
    validation: BatchSource,
    seed: int,
    objective: str = "val_loss",
    positive_class: str | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    balanced: bool = False,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    shifted: Sequence[BatchSource] = (),
    earlier: Outcome | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> Outcome:
    """Trains one configuration, from its initial weights or from where it was interrupted.

    Args:
        network: Shared by all trials; earlier training of it has no effect.
        configuration: What to train.
        epochs: Of both phases together, at least 1.
        training: Training batches.
        validation: Validation batches, always of the unaugmented images.
        seed: Decides the head's initial weights, the order of images, and dropout.
        objective: Decides the best epoch; one of `results.objectives.OBJECTIVES`.
        positive_class: As in `results.positive_class.find_positive_class`.
        batch_size: At least 1.
        balanced: Whether the training loss weights all classes equally.
        on_epoch: Called after each epoch.
        shifted: Batches of the validation images under each shift.
        earlier: Of the same training, which was interrupted after its last epoch.
        on_outcome: Receives the outcome after each epoch; None keeps no checkpoints.

    Raises:
        DivergedError: If a loss or a weight is no longer finite.
    """
    outcome = earlier or Outcome([], 0, {}, [])
    if earlier is None and on_outcome is not None:
        outcome.checkpoints["before_training"] = initialize(network, configuration, training, seed)
    for trained in train_epochs(
        network,
        configuration,
        epochs=epochs,
        training=training,
        validation=validation,
        seed=seed,
        shifted=shifted,
        batch_size=batch_size,
        balanced=balanced,
        after=outcome.position() if outcome.curve else None,
    ):
        epoch = validate(trained, validation.subset, positive_class, outcome.curve)
        curve = [*outcome.curve, epoch]
        outcome = outcome._replace(curve=curve, best_epoch=best_epoch(curve, objective))
        if on_outcome is not None:
            outcome = _with_checkpoints(outcome, trained.trainable)
            on_outcome(outcome)
        on_epoch(outcome.curve[-1])
    return outcome


def _with_checkpoints(outcome: Outcome, trainable: TrainablePart) -> Outcome:
    """Adds the weights and the optimizer's variables after the last epoch; `best` comes last."""
    last, weights = outcome.curve[-1], trainable.weights()
    checkpoints = outcome.checkpoints | {f"after_phase_{last.phase}": weights}
    best = checkpoints.pop("best", weights)
    checkpoints["best"] = weights if outcome.best_epoch == last.epoch else best
    return outcome._replace(checkpoints=checkpoints, optimizer=trainable.optimizer_state())


def best_epoch(curve: Sequence[Epoch], objective: str) -> int:
    """The epoch with the best objective, from 1; the first one if several are equal."""
    cost = find_objective(objective).cost
    return min(curve, key=lambda epoch: (cost(getattr(epoch, objective)), epoch.epoch)).epoch


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean; None without values, or if one is undefined."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def validate(
    trained: TrainedEpoch, validation: Subset, positive_class: str | None, curve: list[Epoch]
) -> Epoch:
    """The record of an epoch, with its metrics on the validation images.

    Args:
        trained: The network after the epoch.
        validation: The validation images.
        positive_class: As in `results.positive_class.find_positive_class`.
        curve: The epochs before.

    Raises:
        DivergedError: If a loss or a weight is not finite.
    """
    labels, probabilities = validation.labels, trained.probabilities
    loss = log_loss(probabilities, labels)
    if not (math.isfinite(trained.loss + loss) and trained.trainable.is_finite()):
        raise DivergedError(f"training diverged in epoch {trained.number}", curve)
    predicted = probabilities.argmax(1)
    classes, shifted = validation.classes, trained.shifted
    scores = validation_scores(labels, probabilities, classes, positive_class)
    under_shifts = [ranking_scores(labels, each, classes, positive_class) for each in shifted]
    return Epoch(
        epoch=trained.number,
        phase=trained.phase.number,
        loss=trained.loss,
        accuracy=trained.accuracy,
        val_loss=loss,
        val_accuracy=float((predicted == labels).mean()),
        val_macro_f1=macro_f1(labels, predicted),
        val_roc_auc=scores["val_roc_auc"],
        val_average_precision=scores["val_average_precision"],
        val_balanced_accuracy=scores["val_balanced_accuracy"],
        val_shifted_loss=mean_of([log_loss(each, labels) for each in shifted]),
        val_shifted_roc_auc=mean_of([found["val_roc_auc"] for found in under_shifts]),
    )
