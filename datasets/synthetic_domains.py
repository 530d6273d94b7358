"""Domains of the synthetic images: how lighting, texture and cracks differ between them."""

from typing import NamedTuple


class Domain(NamedTuple):
    """Lighting, texture and cracks of one domain; `plain` is the built-in sample's."""

    crack_widths: tuple[float, float]  # minimum and maximum in pixels of a 227-pixel image
    crack_darkness: tuple[float, float]  # part of the light that a crack absorbs
    exposure: float  # factor of the reflectance
    slope: float  # maximum fall-off of the light towards one side, in 0..1
    roughness: float  # factor of the surface's relief
    seed: int  # default; differs, so that two domains do not show the same surfaces


DOMAINS = {
    "plain": Domain((2.5, 11), (0.45, 0.85), exposure=1, slope=0.1, roughness=1, seed=2019),
    # Low light on weathered concrete, with fine cracks: a model that learned wide dark lines on
    # smooth surfaces misses them.
    "fine": Domain((1.2, 3.2), (0.3, 0.6), exposure=0.72, slope=0.4, roughness=2.2, seed=2020),
}
