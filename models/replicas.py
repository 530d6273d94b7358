"""A batch divided over several devices of one machine, within one compiled step.

All devices read the same variables, those of the first device, so their weights cannot differ; see
docs/decisions/032-several-gpus.md.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias, TypeVar

import tensorflow as tf

Result = TypeVar("Result")
# Selects the rows of one device in a tensor of the whole batch.
Part: TypeAlias = Callable[[tf.Tensor], tf.Tensor]


def on_each_device(
    devices: Sequence[str], count: tf.Tensor, compute: Callable[[Part], Result]
) -> list[Result]:
    """Calls a function once for each device, with that device as the default.

    Args:
        devices: Names of logical devices; fewer than two leave the batch whole.
        count: Rows of the batch, a scalar; fewer than devices leave some without rows.
        compute: Receives what selects its device's rows, which are consecutive.

    Returns:
        The results, in the order of devices and rows.
    """
    if len(devices) < 2:
        return [compute(lambda batch: batch)]
    ends = [count * number // len(devices) for number in range(len(devices) + 1)]
    results = []
    for device, first, last in zip(devices, ends[:-1], ends[1:], strict=True):
        with tf.device(device):
            results.append(compute(partial(_rows, first, last)))
    return results


def _rows(first: tf.Tensor, last: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    return batch[first:last]


def joined(parts: Sequence[tf.Tensor]) -> tf.Tensor:
    """The rows of all devices as one batch."""
    return parts[0] if len(parts) == 1 else tf.concat(parts, 0)
