"""Grad-CAM heat maps drawn over images."""

from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_OPACITY = 0.6  # of the strongest activation; the image stays visible


def overlay(image: NDArray[np.uint8], heat: NDArray[np.floating[Any]]) -> Image.Image:
    """Draws a heat map over an image.

    Args:
        image: RGB, shape (height, width, 3), 0..255.
        heat: Shape (rows, columns) of any size, 0..1; resized to the image.
    """
    height, width = image.shape[:2]
    resized = Image.fromarray(heat.astype(np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    strength = np.asarray(resized).clip(0, 1)[..., None]
    colour = mpl.colormaps["inferno"](strength[..., 0])[..., :3] * 255
    share = _OPACITY * strength
    return Image.fromarray(((1 - share) * image + share * colour).round().astype(np.uint8))
