"""The whole network: backbone, head, and the feature layers between frozen and trainable part."""

from collections.abc import Callable, Collection
from typing import TypeAlias

import keras

from concrete_study.models.backbone import (
    BLOCKS,
    CONVOLUTIONS,
    BackboneWeights,
    build_backbone,
)
from concrete_study.models.configuration import (
    SQUARE_ROOT,
    STANDARDISED,
    Architecture,
    Configuration,
)

Operation: TypeAlias = Callable[[keras.KerasTensor], keras.KerasTensor]

# Within block 5 features are taken at every convolution: they are as large as block4_pool's.
# Within the other blocks they would be two to four times as large as those of the pooling below.
BLOCK5_FEATURE_LAYERS = ("block5_conv2", "block5_conv1", "block4_pool")
# The outputs of the pooling layers, averaged or their maximum over height and width: what a head
# reads.
POOLED_LAYERS = tuple(
    f"block{block}_{pooling}" for pooling in ("average", "max") for block in (5, 4, 3)
)
_MAPS = (*BLOCK5_FEATURE_LAYERS, "block3_pool", "block2_pool", "block1_pool", "image")
# Where frozen features are taken, from the top down; at `image` no layer is frozen.
FEATURE_LAYERS = (*POOLED_LAYERS, *_MAPS)
# Keeps the gradient of a square root finite at 0; pooled features are 0 to about 30.
EPSILON = 1e-3
VARIANCE_EPSILON = 1e-7  # added to the variance of a feature
SCALING = "scaling"  # the layer that standardises features


def feature_layer_below(unfreeze_depth: int) -> str | None:
    """The nearest feature layer below the lowest of the top `unfreeze_depth` (0..13) layers.

    None if no convolution is unfrozen: the head reads pooled features alone.
    """
    if not unfreeze_depth:
        return None
    if unfreeze_depth <= len(BLOCK5_FEATURE_LAYERS):
        return BLOCK5_FEATURE_LAYERS[unfreeze_depth - 1]
    block = block_of(unfrozen(unfreeze_depth)[0])
    return f"block{block - 1}_pool" if block > 1 else "image"


def feature_layers_of(architecture: Architecture) -> tuple[str, ...]:
    """The feature layers that a trainable part reads: one below its convolutions, and pooled ones.

    The pooled output of a block above the lowest unfrozen convolution is part of what is trained.
    """
    below = feature_layer_below(architecture.unfreeze_depth)
    lowest = block_of(unfrozen(architecture.unfreeze_depth)[0]) if below else 6
    pooled = [f"block{n}_{architecture.pooling}" for n in architecture.blocks if n < lowest]
    return (*([below] if below else []), *pooled)


def nearest_feature_layer(layer: str, stored: Collection[str]) -> str:
    """The nearest stored feature layer, the layer itself or one below it; else `image`."""
    if layer in POOLED_LAYERS and layer not in stored:
        block = block_of(layer)
        layer = f"block{block}_pool" if block < 5 else _MAPS[0]
    candidates = _MAPS[_MAPS.index(layer) :] if layer in _MAPS else (layer,)
    return next(name for name in candidates if name in stored or name == "image")


def block_of(layer: str) -> int:
    """The number of a layer's block, 1 to 5."""
    return int(layer[len("block")])


def unfrozen(unfreeze_depth: int) -> tuple[str, ...]:
    """Names of the convolutions that phase 2 trains, from the bottom up."""
    return CONVOLUTIONS[len(CONVOLUTIONS) - unfreeze_depth :]


def feature_shape(layer: str, size: int) -> tuple[int, ...]:
    """Shape of one image's features at a feature layer, for images of `size` pixels."""
    if layer == "image":
        return (size, size, 3)
    block = 4 if layer in BLOCK5_FEATURE_LAYERS else block_of(layer)
    channels = BLOCKS[block - 1][1]
    if layer in POOLED_LAYERS:
        return (channels,)
    return (size // 2**block, size // 2**block, channels)


def pooling_layer(name: str) -> keras.Layer:
    """The layer that computes pooled features, e.g. `block5_average`, from `block5_pool`."""
    if name.endswith("_max"):
        return keras.layers.GlobalMaxPooling2D(name=name, dtype="float32")
    return keras.layers.GlobalAveragePooling2D(name=name, dtype="float32")


def dense_layers(units: int, classes: int, *, activation: str | None) -> list[keras.layers.Dense]:
    """The head's layers with weights: an optional dense layer, and the output layer.

    They compute in float32: rounding has its largest effect here. The output layer starts at 0:
    what training leaves of random weights there would be noise for other images
    (docs/decisions/030-initial-output-layer.md).

    Args:
        units: Width of the dense layer; 0 leaves it out.
        classes: At least 2.
        activation: Of the output layer: softmax, or None for logits.
    """
    last = keras.layers.Dense(
        classes, activation, kernel_initializer="zeros", name="probabilities", dtype="float32"
    )
    if not units:
        return [last]
    return [keras.layers.Dense(units, "relu", name="dense", dtype="float32"), last]


def scaling_layers(scaling: str) -> list[Operation]:
    """The layers of a feature scaling; `standardised` has still to get mean and variance.

    A batch normalisation that is not trained, as Keras' Normalization keeps its statistics outside
    its variables, where the converter to ONNX does not find them.
    """
    if scaling == SQUARE_ROOT:
        offset = keras.layers.Rescaling(1.0, offset=EPSILON, name="offset", dtype="float32")
        return [offset, keras.ops.sqrt]
    if scaling == STANDARDISED:
        options = {"epsilon": VARIANCE_EPSILON, "center": False, "scale": False}
        layer = keras.layers.BatchNormalization(**options, name=SCALING, dtype="float32")
        layer.trainable = False
        return [layer]
    return []


def head_layers(configuration: Configuration, classes: int) -> list[Operation]:
    """Scaling of pooled features, an optional dense layer, dropout and softmax."""
    *dense, last = dense_layers(configuration.head_units, classes, activation="softmax")
    dropout = keras.layers.Dropout(configuration.dropout, name="dropout", dtype="float32")
    return [*scaling_layers(configuration.feature_scaling), *dense, dropout, last]


def head_input(backbone: keras.Model, architecture: Architecture) -> keras.KerasTensor:
    """What the head reads: the pooled outputs of one or several blocks, (batch, channels)."""
    pooled = [
        pooling_layer(f"block{block}_{architecture.pooling}")(
            backbone.get_layer(f"block{block}_pool").output
        )
        for block in architecture.blocks
    ]
    return keras.layers.Concatenate(name="features")(pooled) if len(pooled) > 1 else pooled[0]


def build_model(
    configuration: Configuration, weights: BackboneWeights, *, classes: int
) -> keras.Model:
    """Builds the network of one configuration, in float32, ready for export.

    Args:
        configuration: Its learning rates have no effect.
        weights: The backbone's.
        classes: At least 2.

    Returns:
        A model from RGB images (batch, size, size, 3) in 0..255 to class probabilities
        (batch, classes); its trainable layers are those of the recipe's last phase.
    """
    backbone = build_backbone(weights, size=configuration.image_size)
    depth = configuration.unfreeze_depth
    x = head_input(backbone, configuration.architecture(depth))
    for layer in head_layers(configuration, classes):
        x = layer(x)
    model = keras.Model(backbone.input, x, name="crack_classifier")
    set_trainable(model, depth)
    return model


def set_trainable(model: keras.Model, unfreeze_depth: int) -> None:
    """Freezes every convolution but the top `unfreeze_depth`; the head is always trainable."""
    for name in CONVOLUTIONS:
        model.get_layer(name).trainable = name in unfrozen(unfreeze_depth)
