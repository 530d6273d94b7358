"""How fast this machine trains: seconds per image, from FLOPs and a few timed batches."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from concrete_study.datasets.batches import Subset, image_batches
from concrete_study.models.backbone import BLOCKS, CONVOLUTIONS
from concrete_study.models.configuration import Architecture
from concrete_study.models.network import (
    POOLED_LAYERS,
    block_of,
    feature_layer_below,
    feature_shape,
    nearest_feature_layer,
)
from concrete_study.models.steps import Features, StepOptions
from concrete_study.models.trainable import Network

TIMED_IMAGES = 8  # a step on 8 images takes 15 % longer an image than on 32 (decision 012)
# Epochs of one image.
TRAINING, VALIDATION = {"train": 1, "validation": 0}, {"train": 0, "validation": 1}


class StepTimes(NamedTuple):
    """Seconds per image; by unfreeze depth, 0 being phase 1, where they depend on it."""

    forward_pass: float  # decoding and the frozen backbone
    training: dict[int, float]  # of one epoch, with features that are not stored
    validation: dict[int, float]
    compilation: dict[int, float]  # seconds per architecture, once


def flops_shares() -> list[float]:
    """Each convolution's share of the FLOPs of one forward pass, from the bottom up."""
    costs, channels = [], 3
    for block, (count, filters) in enumerate(BLOCKS):
        for _ in range(count):
            costs.append(channels * filters / 4**block)
            channels = filters
    return [cost / sum(costs) for cost in costs]


def epoch_forward_passes(
    depth: int, images: Mapping[str, int], stored: Sequence[str] = ()
) -> float:
    """FLOPs of an epoch, gradients included, in forward passes of one image.

    Args:
        depth: Unfreeze depth in phase 2; 0 for phase 1.
        images: Number of train and validation images.
        stored: The feature layers at which features are stored; none for plain Keras Tuner.
    """
    shares, lowest = flops_shares(), len(CONVOLUTIONS) - depth
    frozen = _convolutions_up_to(nearest_feature_layer(_layer(depth), stored))
    # Of every unfrozen kernel, and of the input of each but the lowest.
    gradients = sum(shares[lowest:]) + sum(shares[lowest + 1 :])
    forward = sum(shares[frozen:])
    return forward * (images["train"] + images["validation"]) + gradients * images["train"]


def _convolutions_up_to(layer: str) -> int:
    """The number of convolutions up to a feature layer, from the bottom."""
    if layer in CONVOLUTIONS:
        return CONVOLUTIONS.index(layer) + 1
    return 0 if layer == "image" else sum(count for count, _ in BLOCKS[: block_of(layer)])


def measure_step_times(
    network: Network,
    images: Subset,
    *,
    stored: Sequence[str],
    size: int,
    depths: Sequence[int],
    units: int,
    batch_size: int,
) -> StepTimes:
    """Times a small batch of the cheapest and of the most expensive step of a search.

    The times of the others follow from their FLOPs (decision 011's table: within a tenth in
    float32, a fifth in bfloat16). What is compiled here is reused; what is trained is reset.

    Args:
        network: Shared by all trials.
        images: At least one; a few of them are decoded.
        stored: The feature layers at which features are stored.
        size: Height and width of the images in pixels.
        depths: Unfreeze depths of the space.
        units: Head units of the space.
        batch_size: Of a training step.
    """
    deepest, phases = max(depths, default=0), sorted({0, *depths})
    layers = [nearest_feature_layer(_layer(depth), stored) for depth in phases]
    forward_pass = _forward_pass_seconds(network, images, tuple(stored) or POOLED_LAYERS[:1], size)
    timed = {}
    for depth in {0, deepest}:
        # A step of the head alone takes the time of a call, whatever the batch size.
        count = min(TIMED_IMAGES, batch_size) if depth else batch_size
        timed[depth] = _step_seconds(network, Architecture(units, depth), stored, count, size)
    times = StepTimes(forward_pass, {}, {}, {})
    for depth, layer in zip(phases, layers, strict=True):
        step, predict, once = timed[deepest if depth else 0]
        if depth:
            step *= _flops_ratio(depth, deepest, stored, TRAINING)
            predict *= _flops_ratio(depth, deepest, stored, VALIDATION)
        extra = forward_pass if layer == "image" else 0.0
        times.training[depth] = step + extra
        times.validation[depth] = predict + extra
        times.compilation[depth] = once
    return times


def _layer(depth: int) -> str:
    """The lowest layer that a step at an unfreeze depth reads."""
    return feature_layer_below(depth) or POOLED_LAYERS[0]


def _start(depth: int, stored: Sequence[str]) -> str:
    """The layer where a step starts; `forward_pass` has the layers below it."""
    layer = _layer(depth)
    start = nearest_feature_layer(layer, stored)
    return layer if start == "image" else start


def _flops_ratio(
    depth: int, deepest: int, stored: Sequence[str], images: Mapping[str, int]
) -> float:
    """The FLOPs of an epoch of these images at a depth, relative to those at the deepest."""
    shallow, deep = (epoch_forward_passes(d, images, [_start(d, stored)]) for d in (depth, deepest))
    return shallow / deep


def _step_seconds(
    network: Network, architecture: Architecture, stored: Sequence[str], count: int, size: int
) -> tuple[float, float, float]:
    """Seconds per image of a step on `count` images and of their prediction; of compiling both."""
    depth = architecture.unfreeze_depth
    layer, start = _layer(depth), _start(depth, stored)
    batch = np.zeros((count, *feature_shape(start, size)), np.float16)
    between = None if start == layer else network.frozen_backbone((layer,), start)
    trainable, labels = network.trainable(architecture), np.zeros(count, np.int32)
    trainable.start(0.0)

    def features() -> Features:
        return between(batch) if between else (batch,)

    def step() -> None:
        trainable.step(features(), labels, StepOptions(0.5, 0, 0))[0].numpy()

    first_step, next_step = _timed(step)
    first_predict, next_predict = _timed(lambda: trainable.predict(features()))
    once = max(first_step + first_predict - next_step - next_predict, 0.0)
    return next_step / count, next_predict / count, once


def _forward_pass_seconds(
    network: Network, images: Subset, layers: tuple[str, ...], size: int
) -> float:
    """Seconds per image to decode, augment and compute features at the layers.

    The first of three batches, which compiles, is not counted; the others are prepared while the
    previous one is computed, as in the search.
    """
    part, frozen = images.take(3 * TIMED_IMAGES), network.frozen_backbone(layers)
    batches = image_batches(part, size=size, batch_size=math.ceil(len(part) / 3), view=1)
    ends, counts = [time.perf_counter()], []
    for batch, _ in batches:
        frozen(batch)[0].numpy()
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
