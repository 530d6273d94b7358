"""How fast this machine trains: seconds per image, from a few timed batches."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from concrete_study.datasets.batches import Subset, image_batches
from concrete_study.models.network import feature_layer_below, feature_shape, nearest_feature_layer
from concrete_study.models.trainable import Features, FrozenPart, Network, TrainablePart
from concrete_study.search.flops import epoch_forward_passes

TIMED_IMAGES = 8  # a step on 8 images takes 15 % longer an image than on 32 (decision 012)
# Epochs of one image.
STEP, PREDICTION = {"train": 1, "validation": 0}, {"train": 0, "validation": 1}


class Rates(NamedTuple):
    """Seconds per image; by unfreeze depth, 0 being phase 1, where they depend on it."""

    passing: float  # decoding and one pass through the frozen part; 0 where none is needed
    training: dict[int, float]  # one epoch's step, with what is computed live for it
    validating: dict[int, float]
    compiling: dict[int, float]  # seconds per architecture, once


def time_rates(
    network: Network,
    images: Subset,
    *,
    stored: Sequence[str],
    complete: bool,
    depths: Sequence[int],
    units: int,
    batch_size: int,
) -> Rates:
    """Times a small batch of the cheapest and of the dearest step that a search will make.

    Those between are worked out: a step costs what its convolutions multiply (to within a tenth
    in float32, a fifth in bfloat16; decision 011's table). What is compiled here the search uses
    again; what is trained here is set anew at every trial's start.

    Args:
        network: Shared by all trials.
        images: At least one; a few of them are decoded.
        stored: The feature_layers at which features are stored.
        complete: Whether all of them have been computed.
        depths: Unfreeze depths of the space.
        units: A head width of the space.
        batch_size: Of a training step.
    """
    live = any(
        nearest_feature_layer(feature_layer_below(depth), stored) == "image"
        for depth in (0, *depths)
    )
    passing = 0.0
    if live or not complete:
        passing = _pass_seconds(network, images, tuple(stored) or ("pooled",))
    rates, deepest = Rates(passing, {}, {}, {}), max(depths, default=0)
    timed = {}
    for depth in {0, deepest}:
        # A step of the head alone takes what calling it takes, whatever the batch.
        count = min(TIMED_IMAGES, batch_size) if depth else batch_size
        feature_layer, start = feature_layer_below(depth), _start(depth, stored)
        features = np.zeros((count, *feature_shape(start, network.size)), np.float16)
        between = None if start == feature_layer else network.frozen_part((feature_layer,), start)
        step, predict, once = _step_seconds(network.trainable(units, depth), features, between)
        timed[depth] = (step / count, predict / count, once)
    for depth in sorted({0, *depths}):
        step, predict, once = timed[deepest if depth else 0]
        if depth:
            step *= _share(depth, deepest, stored, STEP)
            predict *= _share(depth, deepest, stored, PREDICTION)
        extra = (
            passing if nearest_feature_layer(feature_layer_below(depth), stored) == "image" else 0.0
        )
        rates.training[depth] = step + extra
        rates.validating[depth] = predict + extra
        rates.compiling[depth] = once
    return rates


def _start(depth: int, stored: Sequence[str]) -> str:
    """Where a step's own work begins; what lies below is stored, or told as `passing`."""
    feature_layer = feature_layer_below(depth)
    start = nearest_feature_layer(feature_layer, stored)
    return feature_layer if start == "image" else start


def _share(depth: int, deepest: int, stored: Sequence[str], images: Mapping[str, int]) -> float:
    """What an epoch of these images costs at a depth, as part of what it costs at the deepest."""
    shallow, deep = (epoch_forward_passes(d, images, [_start(d, stored)]) for d in (depth, deepest))
    return shallow / deep


def _step_seconds(
    trainable: TrainablePart, stored: NDArray[np.float16], between: FrozenPart | None
) -> tuple[float, float, float]:
    """Seconds of a training step, of a prediction, and of compiling both."""
    labels = np.zeros(len(stored), np.int32)
    trainable.start(0.0)

    def features() -> Features:
        return between(stored)[0] if between else stored

    def step() -> None:
        trainable.step(features(), labels, dropout=0.5, seed=0, step=0)[0].numpy()

    first_step, next_step = _timed(step)
    first_predict, next_predict = _timed(lambda: trainable.predict(features()))
    once = max(first_step + first_predict - next_step - next_predict, 0.0)
    return next_step, next_predict, once


def _pass_seconds(network: Network, images: Subset, feature_layers: tuple[str, ...]) -> float:
    """Seconds to decode and augment an image and to take it to the feature_layers.

    The first of three batches, which compiles, is not counted; the others are prepared while the
    one before them is computed, as all but the first are in a real pass.
    """
    part, lower = images.take(3 * TIMED_IMAGES), network.frozen_part(feature_layers)
    batches = image_batches(part, size=network.size, batch_size=math.ceil(len(part) / 3), view=1)
    ends, counts = [time.perf_counter()], []
    for batch, _ in batches:
        lower(batch)[0].numpy()
        ends.append(time.perf_counter())
        counts.append(len(batch))
    if len(counts) > 1:
        del ends[0], counts[0]
    return (ends[-1] - ends[0]) / sum(counts)


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds of a first call, which compiles, and of a second."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times[0], times[1]
