"""Training one configuration on every fold: mean scores, their standard error, and predictions.

Sources: Bischl et al., "Hyperparameter optimization: foundations, algorithms, best practices, and
open challenges", WIREs Data Mining and Knowledge Discovery 2023, on resampling in a search.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import asdict
from numpy.typing import NDArray

from concrete_study.models.batch_sources import BatchSource
from concrete_study.models.configuration import Configuration
from concrete_study.models.parallel_heads import train_heads
from concrete_study.models.recipe import DEFAULT_BATCH_SIZE, TrainedEpoch, train_epochs
from concrete_study.models.trainable import Network
from concrete_study.results.records import Epoch
from concrete_study.search.training import best_epoch, mean_of, validate


class FoldSources(NamedTuple):
    """The batches of one fold; a single split is one fold."""

    training: BatchSource
    validation: BatchSource  # unaugmented
    shifted: tuple[BatchSource, ...] = ()  # the validation images under each shift


class CrossValidated(NamedTuple):
    """The result of training one configuration on every fold.

    Attributes:
        curve: The learning curve, means over the folds.
        best_epoch: The epoch with the best mean objective, from 1.
        standard_error: Of the objective at `best_epoch`, over the folds; None for one fold.
        probabilities: Of each fold's validation images at `best_epoch`, (images, classes).
    """

    curve: list[Epoch]
    best_epoch: int
    standard_error: float | None
    probabilities: list[NDArray[np.float32]]


def cross_validate(
    network: Network,
    configuration: Configuration,
    folds: Sequence[FoldSources],
    *,
    epochs: int,
    seeds: Sequence[int],
    objective: str = "val_loss",
    positive_class: str | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    balanced: bool = False,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_step: Callable[[], None] = lambda: None,
) -> CrossValidated:
    """Trains one configuration on every fold with every seed.

    Args:
        network: Shared by all trials.
        configuration: What to train.
        folds: At least one.
        epochs: Of both phases together, at least 1.
        seeds: Of each repeat: initial weights, order of images and dropout. At least one.
        objective: Decides the best epoch.
        positive_class: As in `results.positive_class.find_positive_class`.
        batch_size: At least 1.
        balanced: Whether each fold's training loss weights all classes equally.
        on_epoch: Receives the means of each epoch once the last fold has reached it.
        on_step: Called after each epoch of each fold but the last; an exception ends the
            training.

    Raises:
        DivergedError: If a loss or a weight of any fold is no longer finite.
    """
    runs = [(fold, seed) for seed in seeds for fold in folds]
    curves: list[list[Epoch]] = [[] for _ in runs]
    predicted: list[list[NDArray[np.float32]]] = [[] for _ in runs]
    means: list[Epoch] = []
    trained = _train(
        network, configuration, runs, epochs=epochs, batch_size=batch_size, balanced=balanced
    )
    for run, epoch in trained:
        subset = runs[run][0].validation.subset
        curves[run].append(validate(epoch, subset, positive_class, means))
        predicted[run].append(epoch.probabilities)
        if all(len(curve) > len(means) for curve in curves):
            means.append(mean_epoch([curve[len(means)] for curve in curves]))
            on_epoch(means[-1])
        if any(len(curve) < epochs for curve in curves):
            on_step()
    best = best_epoch(means, objective)
    scores = np.array([getattr(curve[best - 1], objective) for curve in curves])
    return CrossValidated(
        means,
        best,
        standard_error(scores.reshape(len(seeds), len(folds))),
        [
            np.mean([predicted[n][best - 1] for n in range(fold, len(runs), len(folds))], axis=0)
            for fold in range(len(folds))
        ],
    )


def _train(
    network: Network,
    configuration: Configuration,
    runs: Sequence[tuple[FoldSources, int]],
    *,
    epochs: int,
    batch_size: int,
    balanced: bool,
) -> Iterator[tuple[int, TrainedEpoch]]:
    """Yields the number of a run and one of its epochs, in the order in which they are trained."""
    images = max(len(fold.training.subset) for fold, _ in runs)
    if configuration.unfreeze_depth == 0 and len(runs) > 1:
        for trained in train_heads(
            network,
            configuration,
            epochs=epochs,
            training=[fold.training for fold, _ in runs],
            validation=[(fold.validation, *fold.shifted) for fold, _ in runs],
            seeds=[seed for _, seed in runs],
            batch_size=batch_size,
            balanced=balanced,
        ):
            yield from enumerate(trained)
        return
    for run, (fold, seed) in enumerate(runs):
        for epoch in train_epochs(
            network,
            configuration,
            epochs=epochs,
            training=fold.training,
            validation=fold.validation,
            seed=seed,
            shifted=fold.shifted,
            batch_size=batch_size,
            images=images,
            balanced=balanced,
        ):
            yield run, epoch


def mean_epoch(epochs: Sequence[Epoch]) -> Epoch:
    """The means of one epoch over folds; a score that is undefined in one of them is undefined."""
    rows = [asdict(epoch) for epoch in epochs]
    means: dict[str, Any] = {
        name: mean_of([row[name] for row in rows])
        for name in rows[0]
        if name not in ("epoch", "phase")
    }
    return Epoch(epoch=epochs[0].epoch, phase=epochs[0].phase, **means)


def standard_error(scores: NDArray[np.float64]) -> float | None:
    """The standard error of the mean score.

    Args:
        scores: Shape (repeats, folds). Repeats on the same images are no independent samples, so
            the deviation is that of the folds' means, or of the repeats of a single split.

    Returns:
        None for a single score. With few folds it is itself uncertain, and a little too small as
        the folds' training images overlap (Bengio and Grandvalet, JMLR 2004).
    """
    values = scores.mean(axis=0) if scores.shape[1] > 1 else scores[:, 0]
    if len(values) < 2:
        return None
    return float(values.std(ddof=1) / math.sqrt(len(values)))
