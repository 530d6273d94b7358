"""The trainable part of the network, from a feature layer up, and its compiled steps.

Training a trial on features takes so little time that building and tracing would dominate it
(about 2 s each in plain Keras Tuner). Layers and compiled steps therefore belong to an architecture
(head units, unfreeze depth) and are reused by every trial of that architecture; learning rate,
dropout and weights are values that each trial sets. All architectures share one backbone.
"""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from concrete_study.models.backbone import BackboneWeights, build_backbone
from concrete_study.models.network import dense_layers, feature_layer_below, feature_shape, unfrozen
from concrete_study.models.precision import Precision

Features: TypeAlias = NDArray[np.float16] | tf.Tensor
Weights: TypeAlias = dict[str, list[NDArray[np.float32]]]  # layer name -> kernel, bias

# One takes up to 60 MB of optimizer state and graphs; the default space has 20.
MAX_ARCHITECTURES = 24
FrozenBackbone: TypeAlias = Callable[[tf.Tensor], tuple[tf.Tensor, ...]]


def compiled(function: Callable[..., Any], signature: list[tf.TensorSpec]) -> Callable[..., Any]:
    """A `tf.function` without AutoGraph: there is no Python control flow to convert."""
    graph: Callable[..., Any] = tf.function(function, input_signature=signature, autograph=False)
    return graph


class Network:
    """One backbone shared by all trials of a process, and the trainable parts of all architectures.

    Args:
        weights: The backbone's, from `load_weights`.
        size: Height and width of the images in pixels, at least 32.
        classes: At least 2.
        precision: Number format of the convolutions; the head is always float32.
    """

    def __init__(
        self, weights: BackboneWeights, *, size: int, classes: int, precision: Precision
    ) -> None:
        self.weights = weights
        self.size = size
        self.classes = classes
        self.precision = precision
        self.backbone = build_backbone(weights, size=size, policy=precision.policy)
        self.trainable = lru_cache(MAX_ARCHITECTURES)(self._trainable_part)
        self.frozen_backbone = cache(self._frozen_backbone)
        self._head = cache(self._build_head)

    def _build_head(self, units: int) -> "Head":
        return Head(units, self.classes)

    def _trainable_part(self, units: int, unfreeze_depth: int) -> "TrainablePart":
        return TrainablePart(self, self._head(units), unfreeze_depth)

    def _frozen_backbone(self, layers: tuple[str, ...], start: str = "image") -> FrozenBackbone:
        """Compiles the layers from images, or from features at `start`, to some feature layers."""
        pooled = keras.layers.GlobalAveragePooling2D(dtype="float32")(self.backbone.output)
        known = {"pooled": pooled, "image": self.backbone.input}
        outputs = [
            known[name] if name in known else self.backbone.get_layer(name).output
            for name in layers
        ]
        inputs = self.backbone.input if start == "image" else self.backbone.get_layer(start).output
        model = keras.Model(inputs, outputs)
        dtype = tf.float32 if start == "image" else tf.float16
        frozen: FrozenBackbone = compiled(
            lambda x: tuple(keras.tree.flatten(model(tf.cast(x, inputs.dtype), training=False))),
            [tf.TensorSpec((None, *feature_shape(start, self.size)), dtype)],
        )
        return frozen

    def restore(self) -> None:
        """Resets every convolution to its weights before training."""
        for name, (kernel, bias) in self.weights.layers.items():
            layer = self.backbone.get_layer(name)
            layer.kernel.assign(kernel)
            layer.bias.assign(bias)

    def layers_after(self, feature_layer: str) -> list[keras.Layer]:
        """The backbone's layers after a feature layer, from the bottom up."""
        if feature_layer == "pooled":
            return []
        layers: list[keras.Layer] = self.backbone.layers[1:]
        names = [layer.name for layer in layers]
        return layers if feature_layer == "image" else layers[names.index(feature_layer) + 1 :]


class Head:
    """The head's layers with weights, shared by phase 1 and phase 2."""

    def __init__(self, units: int, classes: int) -> None:
        # Logits, not softmax: the loss stays exact for probabilities near 0.
        self.layers = dense_layers(units, classes, activation=None)
        width = 512
        for layer in self.layers:
            layer.build((None, width))
            width = layer.units

    def start(self, seed: int) -> None:
        """Draws initial weights (Glorot-uniform), the same for the same seed."""
        for number, layer in enumerate(self.layers, start=1):
            kernel = keras.initializers.GlorotUniform(seed=1000 * seed + number)
            layer.kernel.assign(kernel(layer.kernel.shape))
            layer.bias.assign(tf.zeros_like(layer.bias))

    def logits(self, pooled: tf.Tensor, drop: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """Logits of shape (batch, classes)."""
        x = pooled
        for layer in self.layers[:-1]:
            x = layer(x)
        return self.layers[-1](drop(x))


class TrainablePart:
    """The layers after one feature layer: a head alone (depth 0), or convolutions and a head.

    Args:
        network: Has the shared backbone.
        head: The head of one width.
        unfreeze_depth: 0 for phase 1 (Adam), 1..13 for phase 2 (RMSprop).
    """

    def __init__(self, network: Network, head: Head, unfreeze_depth: int) -> None:
        self.network = network
        self.head = head
        self.feature_layer = feature_layer_below(unfreeze_depth)
        self.convolutional = network.layers_after(self.feature_layer)
        convolutions = [network.backbone.get_layer(name) for name in unfrozen(unfreeze_depth)]
        self.trained = [*convolutions, *head.layers]
        self.variables = [v for layer in self.trained for v in (layer.kernel, layer.bias)]
        self._optimizer = _optimizer(unfreeze_depth, network.precision)
        self._optimizer.build(self.variables)
        self._scalars = [(v, v.numpy()) for v in self._optimizer.variables if v.shape.rank == 0]
        at_ends = self.feature_layer in ("pooled", "image")
        self._dtype = "float32" if at_ends else self.convolutional[0].compute_dtype
        features = tf.TensorSpec(
            (None, *feature_shape(self.feature_layer, network.size)), self._dtype
        )
        labels = tf.TensorSpec((None,), tf.int32)
        rate, seed = tf.TensorSpec((), tf.float32), tf.TensorSpec((2,), tf.int32)
        self._step = compiled(self._train_step, [features, labels, rate, seed])
        self._forward = compiled(self._probabilities, [features])

    def start(self, learning_rate: float) -> None:
        """Resets the optimizer and sets its learning rate."""
        for variable in self._optimizer.variables:
            if variable.shape.rank:
                variable.assign(tf.zeros_like(variable))
        for variable, value in self._scalars:
            variable.assign(value)
        self._optimizer.learning_rate = learning_rate

    def step(
        self, features: Features, labels: NDArray[np.int32], *, dropout: float, seed: int, step: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Trains on one batch; returns its summed loss in nats and its correct predictions."""
        sums: tuple[tf.Tensor, tf.Tensor] = self._step(
            tf.cast(features, self._dtype), labels, tf.constant(dropout, tf.float32), [seed, step]
        )
        return sums

    def predict(self, features: Features) -> NDArray[np.float32]:
        """Class probabilities of one batch, shape (batch, classes)."""
        probabilities: NDArray[np.float32] = self._forward(tf.cast(features, self._dtype)).numpy()
        return probabilities

    def weights(self) -> Weights:
        """A copy of all trained weights."""
        return {
            layer.name: [layer.kernel.numpy().copy(), layer.bias.numpy().copy()]
            for layer in self.trained
        }

    def optimizer_state(self) -> list[NDArray[Any]]:
        """A copy of the optimizer's variables, its step count and learning rate among them."""
        return [variable.numpy().copy() for variable in self._optimizer.variables]

    def restore(self, weights: Weights, optimizer_state: Sequence[NDArray[Any]]) -> None:
        """Continues from `weights()` and `optimizer_state()` of an earlier process."""
        self.load(weights)
        for variable, value in zip(self._optimizer.variables, optimizer_state, strict=True):
            variable.assign(value)

    def is_finite(self) -> bool:
        """Whether all trained weights are finite; a ReLU can hide NaN from the loss."""
        return all(bool(tf.reduce_all(tf.math.is_finite(v.value))) for v in self.variables)

    def load(self, weights: Weights) -> None:
        """Sets the weights of the layers in `weights`; other layers keep theirs."""
        for layer in self.trained:
            if layer.name in weights:
                layer.set_weights(weights[layer.name])

    def _pooled(self, features: tf.Tensor) -> tf.Tensor:
        x = features
        for layer in self.convolutional:
            x = layer(x)
        return tf.reduce_mean(tf.cast(x, tf.float32), [1, 2]) if self.convolutional else x

    def _train_step(
        self, features: tf.Tensor, labels: tf.Tensor, dropout: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        def drop(x: tf.Tensor) -> tf.Tensor:
            return tf.nn.experimental.stateless_dropout(x, dropout, seed=seed)

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in self.variables])
            logits = self.head.logits(self._pooled(features), drop)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = self._optimizer.scale_loss(tf.reduce_mean(losses))
        gradients = tape.gradient(loss, [variable.value for variable in self.variables])
        self._optimizer.apply(gradients, self.variables)
        correct = tf.equal(tf.argmax(logits, 1, tf.int32), labels)
        return tf.reduce_sum(losses), tf.math.count_nonzero(correct, dtype=tf.int32)

    def _probabilities(self, features: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(self.head.logits(self._pooled(features), lambda x: x))


def _optimizer(unfreeze_depth: int, precision: Precision) -> keras.Optimizer:
    """As in the reference recipe: Adam for the head, RMSprop for fine-tuning."""
    optimizer = keras.optimizers.RMSprop() if unfreeze_depth else keras.optimizers.Adam()
    if precision.name == "float16":  # small gradients would underflow
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
