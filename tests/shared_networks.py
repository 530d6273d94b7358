"""One network of each kind for all tests of a process.

Earlier training of a network has no effect on later training, and building and compiling one
takes most of the time of a small search. So tests load weights once and share their networks, and
the steps of a network are timed once.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from concrete_study.datasets.batches import Subset
from concrete_study.models import backbone
from concrete_study.models.backbone import BackboneWeights
from concrete_study.models.head import Weights
from concrete_study.models.precision import Precision, choose_precision
from concrete_study.models.trainable import Network
from concrete_study.search.throughput import StepTimes, measure_step_times

load_weights = cache(backbone.load_weights)
_networks: dict[tuple[str, int, str], Network] = {}
_step_times: dict[tuple[Network, str], StepTimes] = {}


def shared_network(
    weights: BackboneWeights, *, classes: int, precision: Precision, devices: Sequence[str] = ()
) -> Network:
    """Takes the arguments of `Network`; equal ones give the same network, with its weights."""
    assert len(devices) < 2, "several devices need a process of their own"
    key = weights.sha256, classes, precision.name
    if key not in _networks:
        _networks[key] = Network(weights, classes=classes, precision=precision)
    _networks[key].restore()
    return _networks[key]


def shared_step_times(network: Network, images: Subset, **options: Any) -> StepTimes:
    """Takes the arguments of `measure_step_times`; equal steps of a network have equal times."""
    key = network, str(sorted(options.items()))
    if key not in _step_times:
        _step_times[key] = measure_step_times(network, images, **options)
    return _step_times[key]


def small_network(*, classes: int = 2, precision: str = "float32") -> Network:
    """A shared network with the bundled weights."""
    chosen = choose_precision(precision)
    return shared_network(load_weights("bundled"), classes=classes, precision=chosen)


def with_random_output(weights: Weights) -> Weights:
    """The weights with an output layer drawn at random, so that predictions differ."""
    kernel, bias = weights["probabilities"]
    drawn = np.random.default_rng(0).uniform(-0.1, 0.1, kernel.shape).astype(np.float32)
    return weights | {"probabilities": [drawn, bias]}
