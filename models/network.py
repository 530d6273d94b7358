"""The whole network: base, head, and where it can be cut in two."""

from collections.abc import Collection

import keras

from models.base import CONVOLUTIONS, BaseWeights, build_base
from models.configuration import Configuration

# Within block 5 features are taken at every convolution: they are as large as block4_pool's,
# where those within the blocks below are two to four times as large as the pooling under them.
BLOCK5_CUTS = ("block5_conv2", "block5_conv1", "block4_pool")
# Where frozen features are taken, from the top down. `pooled` is the head's input, block5_pool
# averaged over space; `image` is the network's own input, below which nothing is frozen.
CUTS = ("pooled", *BLOCK5_CUTS, "block3_pool", "block2_pool", "block1_pool", "image")


def cut_below(unfreeze_depth: int) -> str:
    """The nearest cut below the lowest of the `unfreeze_depth` (0..13) top convolutions."""
    if unfreeze_depth <= len(BLOCK5_CUTS):
        return CUTS[unfreeze_depth]
    block = int(unfrozen(unfreeze_depth)[0].removeprefix("block").split("_")[0])
    return f"block{block - 1}_pool" if block > 1 else "image"


def nearest_cut(cut: str, stored: Collection[str]) -> str:
    """The stored cut from which a cut is computed with the least work: itself, or one below."""
    below = CUTS[CUTS.index(cut) :]
    return next(c for c in (*below, "image") if c in stored or c == "image")


def unfrozen(unfreeze_depth: int) -> tuple[str, ...]:
    """Names of the convolutions that phase 2 trains, from the bottom up."""
    return CONVOLUTIONS[len(CONVOLUTIONS) - unfreeze_depth :]


def cut_shape(cut: str, size: int) -> tuple[int, ...]:
    """Shape of one image's features at a cut, for images of `size` pixels."""
    if cut == "pooled":
        return (512,)
    if cut == "image":
        return (size, size, 3)
    block = 4 if cut in BLOCK5_CUTS else int(cut[len("block")])
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
    configuration: Configuration, weights: BaseWeights, *, size: int, classes: int
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
    base = build_base(weights, size=size)
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
