"""What training costs, counted in forward passes through the base by multiplications."""

from collections.abc import Mapping, Sequence

from concrete_study.models.backbone import BLOCKS, CONVOLUTIONS
from concrete_study.models.network import feature_layer_below, nearest_feature_layer


def convolution_shares() -> list[float]:
    """Each convolution's part of the multiplications of one forward pass, from the bottom up."""
    costs, channels = [], 3
    for block, (count, filters) in enumerate(BLOCKS):
        for _ in range(count):
            costs.append(channels * filters / 4**block)
            channels = filters
    return [cost / sum(costs) for cost in costs]


def convolutions_below(feature_layer: str) -> int:
    """How many of the 13 convolutions lie below a feature_layer."""
    if feature_layer in ("image", "pooled"):
        return 0 if feature_layer == "image" else len(CONVOLUTIONS)
    if feature_layer in CONVOLUTIONS:
        return CONVOLUTIONS.index(feature_layer) + 1
    return sum(count for count, _ in BLOCKS[: int(feature_layer[len("block")])])


def epoch_forward_passes(
    depth: int, images: Mapping[str, int], cached: Sequence[str] = ()
) -> float:
    """Forward passes through the base that an epoch costs, gradients counted as their like.

    Args:
        depth: Unfreeze depth in phase 2; 0 for phase 1.
        images: Number of train and validation images.
        cached: The feature_layers where features are stored; none for stock.
    """
    shares, lowest = convolution_shares(), len(CONVOLUTIONS) - depth
    forward = sum(
        shares[convolutions_below(nearest_feature_layer(feature_layer_below(depth), cached)) :]
    )
    # Of every unfrozen kernel, and of the input of each but the lowest.
    gradients = sum(shares[lowest:]) + sum(shares[lowest + 1 :])
    return forward * (images["train"] + images["validation"]) + gradients * images["train"]
