"""The whole network: backbone, head, and the feature layers between frozen and trainable part."""

from collections.abc import Collection

import keras

from concrete_study.models.backbone import CONVOLUTIONS, BackboneWeights, build_backbone
from concrete_study.models.configuration import Configuration

# Within block 5 features are taken at every convolution: they are as large as block4_pool's.
# Within the other blocks they would be two to four times as large as those of the pooling below.
BLOCK5_FEATURE_LAYERS = ("block5_conv2", "block5_conv1", "block4_pool")
# Where frozen features are taken, from the top down. `pooled` is the head's input, block5_pool
# averaged over height and width; `image` is the input, at which no layer is frozen.
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


def nearest_feature_layer(layer: str, stored: Collection[str]) -> str:
    """The nearest stored feature layer, the layer itself or one below it; else `image`."""
    candidates = FEATURE_LAYERS[FEATURE_LAYERS.index(layer) :]
    return next(name for name in candidates if name in stored or name == "image")


def unfrozen(unfreeze_depth: int) -> tuple[str, ...]:
    """Names of the convolutions that phase 2 trains, from the bottom up."""
    return CONVOLUTIONS[len(CONVOLUTIONS) - unfreeze_depth :]


def feature_shape(layer: str, size: int) -> tuple[int, ...]:
    """Shape of one image's features at a feature layer, for images of `size` pixels."""
    if layer == "pooled":
        return (512,)
    if layer == "image":
        return (size, size, 3)
    block = 4 if layer in BLOCK5_FEATURE_LAYERS else int(layer[len("block")])
    side = size // 2**block
    return (side, side, (64, 128, 256, 512, 512)[block - 1])


def dense_layers(units: int, classes: int, *, activation: str | None) -> list[keras.layers.Dense]:
    """The head's layers with weights: an optional dense layer, and the output layer.

    They compute in float32: rounding has its largest effect here.

    Args:
        units: Width of the dense layer; 0 leaves it out.
        classes: At least 2.
        activation: Of the output layer: softmax, or None for logits.
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
    """Builds the network of one configuration, in float32, ready for export.

    Args:
        configuration: Head units, dropout and unfreeze depth; learning rates have no effect.
        weights: The backbone's.
        size: Height and width of the images, at least 32 pixels.
        classes: At least 2.

    Returns:
        A model from RGB images (batch, size, size, 3) in 0..255 to class probabilities
        (batch, classes); its trainable layers are those of the recipe's last phase.
    """
    backbone = build_backbone(weights, size=size)
    x = backbone.output
    for layer in head_layers(configuration, classes):
        x = layer(x)
    model = keras.Model(backbone.input, x, name="crack_classifier")
    set_trainable(model, configuration.unfreeze_depth)
    return model


def set_trainable(model: keras.Model, unfreeze_depth: int) -> None:
    """Freezes every convolution but the top `unfreeze_depth`; the head is always trainable."""
    for name in CONVOLUTIONS:
        model.get_layer(name).trainable = name in unfrozen(unfreeze_depth)
