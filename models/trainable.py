"""The trainable part of the network, from a feature layer up, and its compiled steps.

Training a trial on features takes so little time that building and tracing would dominate it
(about 2 s each in plain Keras Tuner). Layers and compiled steps therefore belong to an architecture
and are reused by every trial of that architecture, whatever its image size; learning rate, dropout
and weights are values that each trial sets. All architectures share one backbone.
"""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from concrete_study.models.backbone import BackboneWeights, build_backbone
from concrete_study.models.configuration import Architecture
from concrete_study.models.head import Head, Weights
from concrete_study.models.network import (
    POOLED_LAYERS,
    feature_layer_below,
    feature_layers_of,
    pooling_layer,
    unfrozen,
)
from concrete_study.models.precision import Precision
from concrete_study.models.replicas import Part, joined, on_each_device
from concrete_study.models.steps import (
    Features,
    StepOptions,
    compiled,
    feature_spec,
    losses_of,
    optimizer_of,
)

# One takes up to 60 MB of optimizer state and graphs; the default space has 40, of which a search
# of 22 configurations trains fewer.
MAX_ARCHITECTURES = 40
FrozenBackbone: TypeAlias = Callable[[tf.Tensor], tuple[tf.Tensor, ...]]


class Network:
    """One backbone shared by all trials of a process, and the trainable parts of all architectures.

    Args:
        weights: The backbone's, from `load_weights`.
        classes: At least 2.
        precision: Number format of the convolutions; the head is always float32.
        devices: Over which batches are divided; with fewer than two they stay whole.
    """

    def __init__(
        self,
        weights: BackboneWeights,
        *,
        classes: int,
        precision: Precision,
        devices: Sequence[str] = (),
    ) -> None:
        self.weights = weights
        self.classes = classes
        self.precision = precision
        self.devices = tuple(devices)
        self.backbone = build_backbone(weights, size=None, policy=precision.policy)
        self.trainable = lru_cache(MAX_ARCHITECTURES)(self._trainable_part)
        self.frozen_backbone = cache(self._frozen_backbone)
        self._head = cache(self._build_head)

    def _build_head(self, architecture: Architecture) -> Head:
        return Head(architecture, self.classes)

    def head(self, architecture: Architecture) -> Head:
        """The head of an architecture, shared by phase 1 and phase 2."""
        return self._head(architecture._replace(unfreeze_depth=0, pooling="average"))

    def _trainable_part(self, architecture: Architecture) -> "TrainablePart":
        return TrainablePart(self, self.head(architecture), architecture)

    def _frozen_backbone(
        self, layers: tuple[str, ...], start: str = "image", *, divided: bool = False
    ) -> FrozenBackbone:
        """Compiles the layers from images, or from features at `start`, to some feature layers."""
        outputs = [self._output(name) for name in layers]
        inputs = self.backbone.input if start == "image" else self.backbone.get_layer(start).output
        model = keras.Model(inputs, outputs)
        dtype = tf.float32 if start == "image" else tf.float16
        devices = self.devices if divided else ()

        def features(batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
            parts = on_each_device(
                devices,
                tf.shape(batch)[0],
                lambda part: model(tf.cast(part(batch), inputs.dtype), training=False),
            )
            return tuple(map(joined, zip(*map(keras.tree.flatten, parts), strict=True)))

        frozen: FrozenBackbone = compiled(features, [feature_spec(start, dtype)])
        return frozen

    def _output(self, feature_layer: str) -> keras.KerasTensor:
        if feature_layer == "image":
            return self.backbone.input
        if feature_layer in POOLED_LAYERS:
            pool = self.backbone.get_layer(feature_layer.split("_")[0] + "_pool")
            return pooling_layer(feature_layer)(pool.output)
        return self.backbone.get_layer(feature_layer).output

    def restore(self) -> None:
        """Resets every convolution to its weights before training."""
        for name, (kernel, bias) in self.weights.layers.items():
            layer = self.backbone.get_layer(name)
            layer.kernel.assign(kernel)
            layer.bias.assign(bias)

    def layers_after(self, feature_layer: str | None) -> list[keras.Layer]:
        """The backbone's layers after a feature layer, from the bottom up; none after None."""
        if feature_layer is None:
            return []
        layers: list[keras.Layer] = self.backbone.layers[1:]
        names = [layer.name for layer in layers]
        return layers if feature_layer == "image" else layers[names.index(feature_layer) + 1 :]


class TrainablePart:
    """The layers after some feature layers: a head alone, or convolutions and a head.

    Args:
        network: Has the shared backbone.
        head: The head of the architecture.
        architecture: With unfreeze depth 0 for phase 1 (Adam), 1..13 for phase 2 (RMSprop).
    """

    def __init__(self, network: Network, head: Head, architecture: Architecture) -> None:
        self.network = network
        self.head = head
        self.architecture = architecture
        depth = architecture.unfreeze_depth
        self.feature_layers = feature_layers_of(architecture)
        self.convolutional = network.layers_after(feature_layer_below(depth))
        convolutions = [network.backbone.get_layer(name) for name in unfrozen(depth)]
        self.trained = [*convolutions, *head.layers]
        self.variables = [v for layer in self.trained for v in (layer.kernel, layer.bias)]
        self._optimizer = optimizer_of(depth, network.precision)
        self._optimizer.build(self.variables)
        self._scalars = [(v, v.numpy()) for v in self._optimizer.variables if v.shape.rank == 0]
        self._dtypes = [
            "float32" if layer in ("image", *POOLED_LAYERS) else self.convolutional[0].compute_dtype
            for layer in self.feature_layers
        ]
        features = tuple(map(feature_spec, self.feature_layers, self._dtypes))
        labels, number = tf.TensorSpec((None,), tf.int32), tf.TensorSpec((), tf.float32)
        class_weights = tf.TensorSpec((network.classes,), tf.float32)
        seed = tf.TensorSpec((2,), tf.int32)
        signature = [features, labels, number, number, number, class_weights, seed]
        self._step = compiled(self.train_step, signature)
        self._forward = compiled(self.probabilities, [features])

    def start(self, learning_rate: float) -> None:
        """Resets the optimizer and sets its learning rate."""
        for variable in self._optimizer.variables:
            if variable.shape.rank:
                variable.assign(tf.zeros_like(variable))
        for variable, value in self._scalars:
            variable.assign(value)
        self._optimizer.learning_rate = learning_rate

    def step(
        self, features: Features, labels: NDArray[np.int32], options: StepOptions
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Trains on one batch.

        Args:
            features: At each of `feature_layers`.
            labels: Shape (batch,).
            options: Regularisation and random numbers.

        Returns:
            The summed loss in nats, without weights and smoothing, and the number of correct
            predictions.
        """
        weights = options.class_weights or [1.0] * self.network.classes
        numbers = (options.dropout, options.weight_decay, options.label_smoothing)
        sums: tuple[tf.Tensor, tf.Tensor] = self._step(
            self._cast(features),
            labels,
            *(tf.constant(number, tf.float32) for number in numbers),
            tf.constant(weights, tf.float32),
            tf.constant([options.seed, options.step]),
        )
        return sums

    def predict(self, features: Features) -> NDArray[np.float32]:
        """Class probabilities of one batch, shape (batch, classes)."""
        probabilities: NDArray[np.float32] = self._forward(self._cast(features)).numpy()
        return probabilities

    def _cast(self, features: Features) -> tuple[tf.Tensor, ...]:
        return tuple(map(tf.cast, features, self._dtypes))

    def weights(self) -> Weights:
        """A copy of all trained weights, and of the statistics of standardised features."""
        trained = {
            layer.name: [layer.kernel.numpy().copy(), layer.bias.numpy().copy()]
            for layer in self.trained
        }
        return trained | self.head.statistics()

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
        self.head.load_statistics(weights)
        for layer in self.trained:
            if layer.name in weights:
                layer.set_weights(weights[layer.name])

    def _pooled(self, features: tuple[tf.Tensor, ...]) -> tf.Tensor:
        """What the head reads: given features, and those of the convolutions' blocks."""
        pooling = self.architecture.pooling
        reduce = tf.reduce_max if pooling == "max" else tf.reduce_mean
        pooled, x = dict(zip(self.feature_layers, features, strict=True)), features[0]
        for layer in self.convolutional:
            x = layer(x)
            if layer.name.endswith("_pool"):
                block = layer.name.removesuffix("_pool")
                pooled[f"{block}_{pooling}"] = reduce(tf.cast(x, tf.float32), [1, 2])
        return tf.concat([pooled[f"block{n}_{pooling}"] for n in self.architecture.blocks], 1)

    def train_step(
        self,
        features: tuple[tf.Tensor, ...],
        labels: tf.Tensor,
        dropout: tf.Tensor,
        weight_decay: tf.Tensor,
        label_smoothing: tf.Tensor,
        class_weights: tf.Tensor,
        seed: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The step as a graph; see `step`."""
        count = tf.shape(labels)[0]

        def of_part(part: Part) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
            """Gradients of one device's images, their loss and number of correct predictions."""

            def drop(x: tf.Tensor) -> tf.Tensor:
                # The mask of the whole batch, so that it does not depend on the devices.
                if len(self.network.devices) < 2:
                    return tf.nn.experimental.stateless_dropout(x, dropout, seed=seed)
                whole = tf.ones((count, x.shape[-1]), x.dtype)
                return x * part(tf.nn.experimental.stateless_dropout(whole, dropout, seed=seed))

            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch([variable.value for variable in self.variables])
                logits = self.head.logits(self._pooled(tuple(map(part, features))), drop)
                truth = part(labels)
                losses, weighted = losses_of(logits, truth, label_smoothing, class_weights)
                mean = tf.reduce_sum(weighted) / tf.cast(count, tf.float32)
                loss = self._optimizer.scale_loss(mean)
            gradients = tape.gradient(loss, [variable.value for variable in self.variables])
            correct = tf.equal(tf.argmax(logits, 1, tf.int32), truth)
            return gradients, tf.reduce_sum(losses), tf.math.count_nonzero(correct, dtype=tf.int32)

        gradients, losses, correct = zip(
            *on_each_device(self.network.devices, count, of_part), strict=True
        )
        for layer in self.head.layers:  # decoupled, as in Keras' AdamW
            layer.kernel.assign_sub(layer.kernel * self._optimizer.learning_rate * weight_decay)
        summed = [tf.add_n(parts) for parts in zip(*gradients, strict=True)]
        self._optimizer.apply(summed, self.variables)
        return tf.add_n(losses), tf.add_n(correct)

    def probabilities(self, features: tuple[tf.Tensor, ...]) -> tf.Tensor:
        """Class probabilities as a graph; see `predict`."""

        def of_part(part: Part) -> tf.Tensor:
            return self.head.logits(self._pooled(tuple(map(part, features))), lambda x: x)

        count = tf.shape(features[0])[0]
        return tf.nn.softmax(joined(on_each_device(self.network.devices, count, of_part)))
