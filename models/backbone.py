"""VGG16 without its top, and its weights.

Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition" (2014), configuration D, as `keras.applications.VGG16` has it. Unlike there,
the network takes RGB in 0..255: the mean is subtracted by a `Rescaling` layer and the BGR
order is folded into the first kernel, so an exported model needs no preprocessing.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from concrete_study.datasets.errors import ResourceError, UsageError
from concrete_study.datasets.files import file_sha256

BUNDLED = Path(__file__).parent / "weights" / "vgg16_imagenet_notop.weights.h5"
BUNDLED_SHA256 = "5b9c1bccb0b0ca9fcf4b14d918ed7367bdb5981cdfdb17c055eeda7ef1fd60ed"

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # convolutions, filters
CONVOLUTIONS = tuple(
    f"block{block}_conv{number}"
    for block, (count, _) in enumerate(BLOCKS, start=1)
    for number in range(1, count + 1)
)
# The mean ImageNet pixel in RGB, as keras.applications.imagenet_utils subtracts it.
MEAN_RGB = (123.68, 116.779, 103.939)
SMALLEST_SIZE = 32  # five pooling layers halve it to one pixel

LayerWeights = tuple[NDArray[np.float32], NDArray[np.float32]]


class BackboneWeights(NamedTuple):
    """Kernel and bias of each convolution, for RGB input; `sha256` is part of feature keys."""

    source: str
    sha256: str
    layers: dict[str, LayerWeights]


def load_weights(source: str, *, seed: int = 0) -> BackboneWeights:
    """Loads the backbone's weights.

    Args:
        source: `bundled` (ImageNet, comes with the project), `keras` (ImageNet, Keras'
            own download), `none` (random, He-uniform), or a path to a `.weights.h5` file
            for `keras.applications.VGG16(include_top=False)`.
        seed: Used for random weights.

    Raises:
        ResourceError: If the weights are damaged or cannot be downloaded.
        UsageError: If the file does not exist or has the weights of another network.
    """
    if source == "none":
        return _random_weights(seed)
    if source == "keras":
        return _in_rgb("keras", _downloaded())
    path = BUNDLED if source == "bundled" else Path(source)
    if source == "bundled":
        _ensure_intact(path)
    elif not path.is_file():
        raise UsageError(
            f"no weights file {source}.",
            "Expected bundled, keras, none, or a .weights.h5 file of VGG16 without its top.",
            "bundled, the ImageNet weights that come with the project.",
            parameter="weights",
        )
    reference = keras.applications.VGG16(include_top=False, weights=None)
    try:
        reference.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise UsageError(
            f"{source} does not fit VGG16 without its top.",
            f"Expected 13 convolutions saved by Keras; received: {str(error).splitlines()[0]}",
            "bundled, the ImageNet weights that come with the project.",
            parameter="weights",
        ) from error
    return _in_rgb(source, reference)


def _ensure_intact(path: Path) -> None:
    digest = file_sha256(path) if path.is_file() else "no file"
    if digest != BUNDLED_SHA256:
        raise ResourceError(
            "the bundled VGG16 weights are damaged.",
            f"Expected SHA-256 {BUNDLED_SHA256}; received {digest}.",
            "install the project again.",
        )


def _downloaded() -> keras.Model:
    try:
        return keras.applications.VGG16(include_top=False, weights="imagenet")
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise ResourceError(
            "Keras could not download its VGG16 weights.",
            f"Expected an internet connection; received: {error}",
            "bundled, the ImageNet weights that come with the project.",
            parameter="weights",
        ) from error


def _in_rgb(source: str, reference: keras.Model) -> BackboneWeights:
    layers = {name: _arrays(reference.get_layer(name)) for name in CONVOLUTIONS}
    kernel, bias = layers[CONVOLUTIONS[0]]
    layers[CONVOLUTIONS[0]] = (np.ascontiguousarray(kernel[:, :, ::-1, :]), bias)
    return BackboneWeights(source, _digest(layers), layers)


def _arrays(layer: keras.Layer) -> LayerWeights:
    kernel, bias = layer.get_weights()
    return kernel, bias


def _digest(layers: dict[str, LayerWeights]) -> str:
    digest = hashlib.sha256()
    for kernel, bias in layers.values():
        digest.update(kernel.tobytes())
        digest.update(bias.tobytes())
    return digest.hexdigest()


def _random_weights(seed: int) -> BackboneWeights:
    """He-uniform kernels: with Glorot's, Keras' default, activations vanish over 13 ReLU layers."""
    layers: dict[str, LayerWeights] = {}
    channels = 3
    widths = [filters for count, filters in BLOCKS for _ in range(count)]
    for number, (name, filters) in enumerate(zip(CONVOLUTIONS, widths, strict=True)):
        initializer = keras.initializers.HeUniform(seed=1000 * seed + number)
        kernel = keras.ops.convert_to_numpy(initializer((3, 3, channels, filters)))
        layers[name] = (kernel, np.zeros(filters, np.float32))
        channels = filters
    return BackboneWeights("none", _digest(layers), layers)


def build_backbone(
    weights: BackboneWeights, *, size: int | None, policy: str = "float32"
) -> keras.Model:
    """Builds the convolutional backbone from built-in layers.

    Args:
        weights: From `load_weights`.
        size: Height and width of the images, at least 32 pixels; None leaves them open.
        policy: Keras dtype policy of the layers.

    Returns:
        A model from RGB images (batch, size, size, 3) in 0..255 to block5_pool's features.

    Raises:
        UsageError: If `size` is under 32.
    """
    if size is not None and size < SMALLEST_SIZE:
        raise UsageError(
            f"images of {size} pixels are too small for VGG16.",
            f"Expected at least {SMALLEST_SIZE} pixels.",
            "224, the size that VGG16 was trained at.",
            parameter="image_size",
        )
    image = keras.Input((size, size, 3), name="image")
    x = keras.layers.Rescaling(1.0, offset=[-m for m in MEAN_RGB], name="mean", dtype="float32")(
        image
    )
    for block, (count, filters) in enumerate(BLOCKS, start=1):
        for number in range(1, count + 1):
            name = f"block{block}_conv{number}"
            x = keras.layers.Conv2D(
                filters, 3, padding="same", activation="relu", name=name, dtype=policy
            )(x)
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool", dtype=policy)(x)
    backbone = keras.Model(image, x, name="vgg16")
    for name in CONVOLUTIONS:
        backbone.get_layer(name).set_weights(weights.layers[name])
    return backbone
