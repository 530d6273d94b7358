"""Where the drawn photographs come from: what differs between one place and another."""

from typing import NamedTuple


class Domain(NamedTuple):
    """Lighting, texture and cracks of one place; `plain` is the built-in sample's."""

    crack_widths: tuple[float, float]  # pixels of a 227-pixel photograph, narrowest and widest
    crack_darkness: tuple[float, float]  # part of the light that a crack swallows
    exposure: float  # factor of the reflectance
    slope: float  # most that the light falls off towards one side, as a part of it
    roughness: float  # factor of the surface's relief
    seed: int  # of its own, so that two domains do not show the same slabs


DOMAINS = {
    "plain": Domain((2.5, 11), (0.45, 0.85), exposure=1, slope=0.1, roughness=1, seed=2019),
    # Late light on weathered concrete, with the cracks an inspector looks for: a model that
    # learned wide dark lines on even slabs misses them.
    "fine": Domain((1.2, 3.2), (0.3, 0.6), exposure=0.72, slope=0.4, roughness=2.2, seed=2020),
}
