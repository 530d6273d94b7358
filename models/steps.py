"""What a compiled training step takes: features of several layers, and its options."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from concrete_study.models.network import feature_shape
from concrete_study.models.precision import Precision

# One array or tensor (batch, *feature shape) for each feature layer.
Features: TypeAlias = tuple[NDArray[np.float16] | tf.Tensor, ...]


class StepOptions(NamedTuple):
    """What one training step takes besides its batch.

    Attributes:
        dropout: In [0, 1).
        seed: Of the training; with `step` it decides what dropout leaves out.
        step: Counts from 0 through the training.
        weight_decay: Of the head's kernels.
        label_smoothing: In [0, 1).
        class_weights: Factor of each class's losses; None is 1 for all.
    """

    dropout: float
    seed: int
    step: int
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None


def compiled(function: Callable[..., Any], signature: list[tf.TensorSpec]) -> Callable[..., Any]:
    """A `tf.function` without AutoGraph: there is no Python control flow to convert."""
    graph: Callable[..., Any] = tf.function(function, input_signature=signature, autograph=False)
    return graph


def feature_spec(layer: str, dtype: Any) -> tf.TensorSpec:
    """Features of a batch at a layer, for images of any size."""
    *sides, channels = feature_shape(layer, 32)
    return tf.TensorSpec((None, *(None for _ in sides), channels), dtype)


def losses_of(
    logits: tf.Tensor, labels: tf.Tensor, label_smoothing: tf.Tensor, class_weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The cross-entropy of each image, and the same smoothed and weighted; shapes (batch,)."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    uniform = -tf.reduce_mean(tf.nn.log_softmax(logits), 1)  # against equal probabilities
    smoothed = (1 - label_smoothing) * losses + label_smoothing * uniform
    return losses, tf.gather(class_weights, labels) * smoothed


def optimizer_of(unfreeze_depth: int, precision: Precision) -> keras.Optimizer:
    """As in the reference recipe: Adam for the head, RMSprop for fine-tuning."""
    optimizer = keras.optimizers.RMSprop() if unfreeze_depth else keras.optimizers.Adam()
    if precision.name == "float16":  # small gradients would underflow
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
