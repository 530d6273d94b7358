"""What training costs, counted in forward passes through the base by multiplications."""

from collections.abc import Mapping, Sequence

from models.base import BLOCKS, CONVOLUTIONS
from models.network import cut_below, nearest_cut


def convolution_shares() -> list[float]:
    """Each convolution's part of the multiplications of one forward pass, from the bottom up."""
    costs, channels = [], 3
    for block, (count, filters) in enumerate(BLOCKS):
        for _ in range(count):
            costs.append(channels * filters / 4**block)
            channels = filters
    return [cost / sum(costs) for cost in costs]


def convolutions_below(cut: str) -> int:
    """How many of the 13 convolutions lie below a cut."""
    if cut in ("image", "pooled"):
        return 0 if cut == "image" else len(CONVOLUTIONS)
    if cut in CONVOLUTIONS:
        return CONVOLUTIONS.index(cut) + 1
    return sum(count for count, _ in BLOCKS[: int(cut[len("block")])])


def epoch_work(depth: int, images: Mapping[str, int], cached: Sequence[str] = ()) -> float:
    """Forward passes through the base that an epoch costs, gradients counted as their like.

    Args:
        depth: Unfreeze depth in phase 2; 0 for phase 1.
        images: Number of train and validation images.
        cached: The cuts where features are stored; none for stock.
    """
    shares, lowest = convolution_shares(), len(CONVOLUTIONS) - depth
    forward = sum(shares[convolutions_below(nearest_cut(cut_below(depth), cached)) :])
    # Of every unfrozen kernel, and of the input of each but the lowest.
    gradients = sum(shares[lowest:]) + sum(shares[lowest + 1 :])
    return forward * (images["train"] + images["validation"]) + gradients * images["train"]
