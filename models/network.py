"""The whole network: base, head, and where it can be feature_layer in two."""

from collections.abc import Collection

import keras

from concrete_study.models.backbone import CONVOLUTIONS, BackboneWeights, build_backbone
from concrete_study.models.configuration import Configuration

# Within block 5 features are taken at every convolution: they are as large as block4_pool's,
# where those within the blocks below are two to four times as large as the pooling under them.
BLOCK5_FEATURE_LAYERS = ("block5_conv2", "block5_conv1", "block4_pool")
# Where frozen features are taken, from the top down. `pooled` is the head's input, block5_pool
# averaged over space; `image` is the network's own input, below which nothing is frozen.
FEATURE_LAYERS = (
    "pooled",
    *BLOCK5_FEATURE_LAYERS,
    "block3_pool",
    "block2_pool",
    "block1_pool",
    "image",
)


def feature_layer_below(unfreeze_depth: int) -> str:
    """The nearest feature layer below the lowest of the top `unfreeze_depth` (0..13) layers."""
    if unfreeze_depth <= len(BLOCK5_FEATURE_LAYERS):
        return FEATURE_LAYERS[unfreeze_depth]
    block = int(unfrozen(unfreeze_depth)[0].removeprefix("block").split("_")[0])
    return f"block{block - 1}_pool" if block > 1 else "image"


def nearest_feature_layer(feature_layer: str, stored: Collection[str]) -> str:
    """The stored feature layer that costs least: the layer itself, or the nearest one below it."""
    below = FEATURE_LAYERS[FEATURE_LAYERS.index(feature_layer) :]
    return next(c for c in (*below, "image") if c in stored or c == "image")


def unfrozen(unfreeze_depth: int) -> tuple[str, ...]:
    """Names of the convolutions that phase 2 trains, from the bottom up."""
    return CONVOLUTIONS[len(CONVOLUTIONS) - unfreeze_depth :]


def feature_shape(feature_layer: str, size: int) -> tuple[int, ...]:
    """Shape of one image's features at a feature_layer, for images of `size` pixels."""
    if feature_layer == "pooled":
        return (512,)
    if feature_layer == "image":
        return (size, size, 3)
    block = 4 if feature_layer in BLOCK5_FEATURE_LAYERS else int(feature_layer[len("block")])
    side = size // 2**block
    return (side, side, (64, 128, 256, 512, 512)[block - 1])


def dense_layers(units: int, classes: int, *, activation: str | None) -> list[keras.layers.Dense]:
    """The head's layers that train: an optional dense one, and one output per class.

    They compute in float32, as rounding shows here.

    Args:
        units: Width of the dense layer; 0 for none.
        classes: At least 2.
        activation: Of the outputs: softmax, or None for scores before it.
    """
    last = keras.layers.Dense(classes, activation, name="probabilities", dtype="float32")
    if not units:
        return [last]
    return [keras.layers.Dense(units, "relu", name="dense", dtype="float32"), last]


def head_layers(configuration: Configuration, classes: int) -> list[keras.Layer]:
    """Pooling, an optional dense layer, dropout and softmax."""
    *dense, last = dense_layers(configuration.head_units, classes, activation="softmax")
    pool = keras.layers.GlobalAveragePooling2D(name="pool", dtype="float32")
    dropout = keras.layers.Dropout(configuration.dropout, name="dropout", dtype="float32")
    return [pool, *dense, dropout, last]


def build_model(
    configuration: Configuration, weights: BackboneWeights, *, size: int, classes: int
) -> keras.Model:
    """The hypermodel builder: the network of one configuration, in float32, ready for export.

    Args:
        configuration: Head width, dropout and unfreeze depth; the rates play no part here.
        weights: The base's.
        size: Height and width of the images, at least 32 pixels.
        classes: At least 2.

    Returns:
        A model from RGB images (batch, size, size, 3) in 0..255 to class probabilities
        (batch, classes); its trainable layers are those of the recipe's last phase.
    """
    base = build_backbone(weights, size=size)
    x = base.output
    for layer in head_layers(configuration, classes):
        x = layer(x)
    model = keras.Model(base.input, x, name="crack_classifier")
    set_trainable(model, configuration.unfreeze_depth)
    return model


def set_trainable(model: keras.Model, unfreeze_depth: int) -> None:
    """Freezes every convolution but the top `unfreeze_depth`; the head always trains."""
    for name in CONVOLUTIONS:
        model.get_layer(name).trainable = name in unfrozen(unfreeze_depth)
