"""Where a network looked, drawn over the picture."""

from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_STRONGEST = 0.6  # opacity where all the evidence lies; the picture stays visible


def overlay(image: NDArray[np.uint8], heat: NDArray[np.floating[Any]]) -> Image.Image:
    """Lays a map of evidence over an image.

    Args:
        image: RGB, shape (height, width, 3), 0..255.
        heat: In 0..1, of any size; it is stretched over the image.
    """
    height, width = image.shape[:2]
    wide = Image.fromarray(heat.astype(np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    strength = np.asarray(wide).clip(0, 1)[..., None]
    colour = mpl.colormaps["inferno"](strength[..., 0])[..., :3] * 255
    share = _STRONGEST * strength
    return Image.fromarray(((1 - share) * image + share * colour).round().astype(np.uint8))
