"""The trainable head of the network: scaling of pooled features, dense layers, dropout."""

from collections.abc import Callable
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from concrete_study.models.configuration import SQUARE_ROOT, STANDARDISED, Architecture
from concrete_study.models.network import (
    EPSILON,
    SCALING,
    VARIANCE_EPSILON,
    dense_layers,
    feature_shape,
)

# Layer name -> kernel and bias; of the scaling layer, mean and variance.
Weights: TypeAlias = dict[str, list[NDArray[np.float32]]]


class Head:
    """The layers after pooling, shared by phase 1 and phase 2."""

    def __init__(self, architecture: Architecture, classes: int) -> None:
        # Logits, not softmax: the loss stays exact for probabilities near 0.
        self.layers = dense_layers(architecture.head_units, classes, activation=None)
        width = sum(feature_shape(f"block{n}_average", 32)[0] for n in architecture.blocks)
        self.width = width
        self.scaling = architecture.scaling
        # Mean and variance of each feature.
        self._statistics = [tf.Variable(tf.zeros(width)), tf.Variable(tf.ones(width))]
        for layer in self.layers:
            layer.build((None, width))
            width = layer.units

    def start(self, seed: int) -> None:
        """Draws initial weights, the same for the same seed.

        Glorot-uniform of a dense layer; the output layer has its own initializer, see
        `dense_layers`.
        """
        *dense, output = self.layers
        for number, layer in enumerate(dense, start=1):
            kernel = keras.initializers.GlorotUniform(seed=1000 * seed + number)
            layer.kernel.assign(kernel(layer.kernel.shape))
        output.kernel.assign(output.kernel_initializer(output.kernel.shape))
        for layer in self.layers:
            layer.bias.assign(tf.zeros_like(layer.bias))

    def adapt(self, pooled: NDArray[np.float32]) -> None:
        """Takes mean and variance of the pooled features (images, channels) of training images."""
        self.load_statistics({SCALING: [pooled.mean(0), pooled.var(0)]})

    def statistics(self) -> Weights:
        """A copy of mean and variance, if features are standardised."""
        if self.scaling != STANDARDISED:
            return {}
        return {SCALING: [variable.numpy().copy() for variable in self._statistics]}

    def load_statistics(self, weights: Weights) -> None:
        """Sets mean and variance, if they are among the weights."""
        for variable, value in zip(self._statistics, weights.get(SCALING, ()), strict=False):
            variable.assign(value)

    def logits(self, pooled: tf.Tensor, drop: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """Logits of shape (batch, classes)."""
        x = self._scaled(pooled)
        for layer in self.layers[:-1]:
            x = layer(x)
        return self.layers[-1](drop(x))

    def _scaled(self, pooled: tf.Tensor) -> tf.Tensor:
        if self.scaling == SQUARE_ROOT:
            return tf.sqrt(pooled + EPSILON)
        if self.scaling == STANDARDISED:
            mean, variance = self._statistics
            return (pooled - mean) * tf.math.rsqrt(variance + VARIANCE_EPSILON)
        return pooled
