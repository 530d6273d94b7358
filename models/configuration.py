"""The hyperparameters of one trial, and the architecture that they decide."""

from dataclasses import dataclass
from typing import NamedTuple

NAMED_WEIGHTS = ("bundled", "keras", "none")  # of the backbone; others are files
SQUARE_ROOT, STANDARDISED = "square-root", "standardised"  # feature scalings; others are "none"


class Architecture(NamedTuple):
    """What decides the layers of a trainable part; its trials share compiled steps.

    Attributes:
        head_units: Width of the dense layer between pooling and dropout; 0 leaves it out.
        unfreeze_depth: How many of VGG16's 13 convolutions, counted from the top, are trained.
        blocks: The blocks whose pooled outputs the head reads, from the bottom up.
        pooling: `average` or `max`, over height and width.
        scaling: Of the pooled features: `none`, `square-root` or `standardised`.
    """

    head_units: int
    unfreeze_depth: int
    blocks: tuple[int, ...] = (5,)
    pooling: str = "average"
    scaling: str = "none"


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One point of the search space.

    Attributes:
        head_units: Width of the dense layer between pooling and dropout; 0 leaves it out.
        dropout: In [0, 1).
        unfreeze_depth: How many of VGG16's 13 convolutions, counted from the top, phase 2
            trains; 0 leaves phase 2 out.
        head_learning_rate: Adam's learning rate in phase 1.
        fine_tune_learning_rate: RMSprop's learning rate in phase 2; unused at unfreeze depth 0.
        image_size: Height and width of the images in pixels, at least 32.
        feature_layers: The blocks whose pooled outputs the head reads, e.g. `block4+5`.
        feature_scaling: Of the pooled features: `none`; `square-root` (power normalisation,
            Perronnin et al., "Improving the Fisher kernel for large-scale image classification",
            ECCV 2010); `standardised` by the mean and variance of the training images.
        pooling: `average` or `max`, over height and width.
        weight_decay: Decoupled weight decay of the head's kernels (Loshchilov and Hutter, ICLR
            2019), at least 0.
        label_smoothing: In [0, 1): the share of each label that is spread over all classes.
    """

    head_units: int
    dropout: float
    unfreeze_depth: int
    head_learning_rate: float
    fine_tune_learning_rate: float = 0.0
    image_size: int = 224
    feature_layers: str = "block5"
    feature_scaling: str = "none"
    pooling: str = "average"
    weight_decay: float = 0.0
    label_smoothing: float = 0.0

    def architecture(self, unfreeze_depth: int) -> Architecture:
        """The architecture at the unfreeze depth of one phase."""
        blocks = self.feature_layers.removeprefix("block").split("+")
        return Architecture(
            self.head_units,
            unfreeze_depth,
            tuple(map(int, blocks)),
            self.pooling,
            self.feature_scaling,
        )
