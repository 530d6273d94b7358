"""Which frozen features a study keeps on disk, within a limit."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from concrete_study.models.network import BLOCK5_FEATURE_LAYERS, FEATURE_LAYERS, feature_shape

GIGABYTE = 1e9


class FeaturePlan(NamedTuple):
    """Which features a study keeps on disk."""

    feature_layers: tuple[str, ...]  # trials compute features at other layers batch by batch
    views: int  # of the training images; validation images are not augmented
    bytes: int
    reason: str  # what does not fit; empty if everything does


def image_bytes(layers: Sequence[str], size: int) -> int:
    """Bytes of one image's float16 features at all these layers together."""
    return sum(2 * int(np.prod(feature_shape(layer, size))) for layer in layers)


def plan_features(
    layers: Sequence[str],
    *,
    train: int,
    validation: int,
    sizes: Sequence[int],
    views: int,
    budget_gb: float,
) -> FeaturePlan:
    """Fits features into a disk budget.

    If they do not fit, they are left out in this order: feature layers within block 5, whose
    features follow from those below; views; the lowest feature layer.

    Args:
        layers: The feature layers of the space; `image` is never stored.
        train: Images with augmented views: the training images, or all of a cross-validation.
        validation: Other rows: unaugmented and shifted validation images.
        sizes: Heights and widths of the images in pixels; each has its own features.
        views: Augmented views of each training image, at least 1.
        budget_gb: Gigabytes (1e9 bytes) on disk, at least 0.
    """
    kept = sorted({*layers} - {"image"}, key=FEATURE_LAYERS.index)
    omitted: list[str] = []
    while spare := [layer for layer in kept if layer in BLOCK5_FEATURE_LAYERS][-2:-1]:
        if (train * views + validation) * sum(
            image_bytes(kept, size) for size in sizes
        ) <= budget_gb * GIGABYTE:
            break
        kept.remove(*spare)
    while kept:
        row = sum(image_bytes(kept, size) for size in sizes)
        fitting = int((budget_gb * GIGABYTE - validation * row) // (train * row))
        if fitting >= 1:
            chosen = min(views, fitting)
            return FeaturePlan(
                tuple(kept),
                chosen,
                (train * chosen + validation) * row,
                _reason(omitted, chosen, views, budget_gb),
            )
        omitted.append(kept.pop())
    return FeaturePlan((), views, 0, _reason(omitted, views, views, budget_gb))


def _reason(omitted: Sequence[str], chosen: int, views: int, budget_gb: float) -> str:
    parts = []
    if omitted:
        parts.append(f"no room for {', '.join(omitted)}, computed in every epoch instead")
    if chosen < views:
        parts.append(f"room for {chosen} of {views} views")
    return f"a feature cache of {budget_gb:g} GB has {', '.join(parts)}" if parts else ""
