"""Running one trial: a pure function of its configuration, epoch budget, seed and features."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from msgspec.structs import replace
from numpy.typing import NDArray

from concrete_study.results.records import Epoch, TrialRecord
from concrete_study.results.trials import OUT_OF_MEMORY
from concrete_study.search.cross_validation import CrossValidated, cross_validate
from concrete_study.search.options import seeds_of
from concrete_study.search.preparation import FeatureSources, Preparation
from concrete_study.search.space import configuration_of
from concrete_study.search.training import DivergedError


class TrialResult(NamedTuple):
    """What a trial gives, in whichever process it ran.

    Attributes:
        record: Its record.
        probabilities: Of each fold's validation images at the best epoch; empty if it failed.
    """

    record: TrialRecord
    probabilities: list[NDArray[np.float32]]


def run_trial(
    prepared: Preparation,
    features: FeatureSources,
    requested: TrialRecord,
    *,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_step: Callable[[], None] = lambda: None,
) -> TrialResult:
    """Trains one configuration for its epoch budget.

    Args:
        prepared: Has the options and the network.
        features: Of all images, by image size.
        requested: The trial, without results.
        on_epoch: As in `cross_validate`.
        on_step: As in `cross_validate`.
    """
    configuration, options = configuration_of(requested.hyperparameters), prepared.options
    probabilities: list[NDArray[np.float32]] = []
    start = time.monotonic()
    try:
        validated = cross_validate(
            prepared.network,
            configuration,
            features[configuration.image_size],
            epochs=requested.epochs,
            seeds=seeds_of(options),
            objective=options.objective,
            positive_class=options.positive_class,
            batch_size=options.batch_size,
            balanced=prepared.class_weight == "balanced",
            on_epoch=on_epoch,
            on_step=on_step,
        )
        record = _completed(requested, validated, options.objective)
        probabilities = validated.probabilities
    except DivergedError as error:
        record = replace(requested, message=str(error), curve=error.curve)
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        # Configurations differ in memory; another one may fit.
        record = replace(requested, message=f"{OUT_OF_MEMORY}: {_first_line(error)}")
    return TrialResult(replace(record, seconds=round(time.monotonic() - start, 3)), probabilities)


def _first_line(error: Exception) -> str:
    """The first line of a message, without a full stop."""
    lines = str(getattr(error, "message", error)).splitlines()
    return lines[0].rstrip(".") if lines else "no details"


def _completed(requested: TrialRecord, outcome: CrossValidated, objective: str) -> TrialRecord:
    """The record of a completed trial, with the metrics of its best epoch."""
    metrics = outcome.curve[outcome.best_epoch - 1].metrics()
    return replace(
        requested,
        status="completed",
        score=metrics[objective],
        standard_error=outcome.standard_error,
        best_epoch=outcome.best_epoch,
        metrics=metrics,
        curve=outcome.curve,
    )
