"""A trained network from its `.keras` file: predictions and Grad-CAM heat maps."""

from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from concrete_study.datasets.batches import Subset, image_batches
from concrete_study.datasets.errors import UsageError
from concrete_study.models.backbone import CONVOLUTIONS
from concrete_study.models.configuration import SQUARE_ROOT, Architecture
from concrete_study.models.export import open_keras_file
from concrete_study.models.network import EPSILON, dense_layers, head_input, scaling_layers
from concrete_study.models.steps import compiled

LAST_CONVOLUTION = CONVOLUTIONS[-1]
# What adaptation puts in place of a head (docs/decisions/027-adaptation.md).
NEW_HEAD = Architecture(0, 0, blocks=(4, 5), scaling=SQUARE_ROOT)
OutputWeights: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]


class Classifier:
    """Predicts in float32, as the exported model does.

    Args:
        keras_file: A model of this project.
    """

    def __init__(self, keras_file: Path) -> None:
        self._model = open_keras_file(keras_file)
        self.size = int(self._model.input_shape[1])
        images = tf.TensorSpec((None, self.size, self.size, 3), tf.float32)
        self._predict = compiled(lambda batch: self._model(batch, training=False), [images])
        self._heat_map = cache(self._build_heat_map)

    def probabilities(self, images: NDArray[Any] | tf.Tensor) -> NDArray[np.float32]:
        """Class probabilities (images, classes) of RGB images (images, size, size, 3), 0..255."""
        predicted: NDArray[np.float32] = self._predict(tf.cast(images, tf.float32)).numpy()
        return predicted

    def read(
        self, images: NDArray[Any] | tf.Tensor
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Class probabilities, and what a new head reads, of RGB images as `probabilities`.

        Returns:
            Shapes (images, classes) and (images, 1024), from one forward pass.
        """
        probabilities, features = self._read(tf.cast(images, tf.float32))
        return probabilities.numpy(), features.numpy()

    @cached_property
    def _read(self) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
        blocks = [self._model.get_layer(f"block{n}_pool").output for n in NEW_HEAD.blocks]
        inner = keras.Model(self._model.input, [self._model.output, *blocks])

        def read(batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
            probabilities, *maps = inner(batch, training=False)
            pooled = tf.concat([tf.reduce_mean(each, [1, 2]) for each in maps], 1)
            return probabilities, tf.sqrt(pooled + EPSILON)  # as `scaling_layers`

        return compiled(read, [tf.TensorSpec((None, self.size, self.size, 3), tf.float32)])

    @property
    def output(self) -> OutputWeights:
        """Kernel (width, classes) and bias (classes,) of the output layer."""
        kernel, bias = self._model.layers[-1].get_weights()
        return kernel, bias

    def save_with(self, output: OutputWeights, path: Path, *, new_head: bool) -> None:
        """Writes the model with another output layer.

        Args:
            output: Kernel and bias.
            path: A `.keras` file.
            new_head: Whether the layer replaces the whole head and reads what `read` gives.
        """
        x = self._model.layers[-1].input
        if new_head:
            x = head_input(self._model, NEW_HEAD)
            for layer in scaling_layers(NEW_HEAD.scaling):
                x = layer(x)
        [last] = dense_layers(0, len(output[1]), activation="softmax")
        model = keras.Model(self._model.input, last(x), name=self._model.name)
        last.set_weights(output)
        model.save(path)

    def grad_cam(
        self, image: NDArray[np.uint8], target: int, layer: str = LAST_CONVOLUTION
    ) -> NDArray[np.float32]:
        """The Grad-CAM heat map of a class: which image regions raise its score.

        Source: Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via
        gradient-based localization", ICCV 2017.

        Args:
            image: RGB, shape (size, size, 3), 0..255.
            target: The index of the class.
            layer: A convolution of the backbone.

        Returns:
            Shape (height, width) of the layer's output, in 0..1; all 0 if no region raises the
            score.

        Raises:
            UsageError: If there is no such convolution.
        """
        if layer not in CONVOLUTIONS:
            raise UsageError(
                f"{layer} is not a convolution of VGG16.",
                f"Expected one of {', '.join(CONVOLUTIONS)}.",
                parameter="layer",
            )
        batch = tf.cast(image[None], tf.float32)
        heat: NDArray[np.float32] = self._heat_map(layer)(batch, tf.constant(target)).numpy()
        return heat / heat.max() if heat.max() > 0 else heat

    def _build_heat_map(self, layer: str) -> Callable[..., tf.Tensor]:
        last = self._model.layers[-1]
        inner = keras.Model(self._model.input, [self._model.get_layer(layer).output, last.input])

        def heat_map(batch: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                maps, x = inner(batch, training=False)
                # The score before softmax: the softmax's gradient vanishes at high confidence.
                score = tf.gather(tf.matmul(x, last.kernel) + last.bias, target, axis=1)
            weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2), keepdims=True)
            return tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1))[0]

        signature = [tf.TensorSpec((1, self.size, self.size, 3)), tf.TensorSpec((), tf.int32)]
        return compiled(heat_map, signature)


def predict_images(
    classifier: Classifier,
    subset: Subset,
    *,
    batch_size: int,
    on_images: Callable[[int], None] = lambda count: None,
) -> NDArray[np.float32]:
    """Class probabilities (images, classes) of a subset, batch by batch, in its own order."""
    found = []
    for images, labels in image_batches(subset, size=classifier.size, batch_size=batch_size):
        found.append(classifier.probabilities(images))
        on_images(len(labels))
    return np.concatenate(found)
