"""The hyperparameters of one trial."""

from dataclasses import dataclass


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
    """

    head_units: int
    dropout: float
    unfreeze_depth: int
    head_learning_rate: float
    fine_tune_learning_rate: float = 0.0
