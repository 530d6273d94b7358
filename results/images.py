"""Images for pages: made small, spread evenly, inlined, and with Grad-CAM heat maps over them."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from concrete_study.datasets.decoding import decode_image

_OPACITY = 0.6  # of the strongest activation; the image stays visible


def thumbnail(path: Path, size: int) -> bytes:
    """An image as the network receives it, resized to a square of `size` pixels, as JPEG.

    Raises:
        UnreadableImageError: If it cannot be decoded.
    """
    file = io.BytesIO()
    Image.fromarray(decode_image(path, size)).save(file, "JPEG", quality=80)
    return file.getvalue()


def spread(files: Sequence[str], most: int) -> list[str]:
    """At most `most` of the files, evenly spread."""
    step = max(len(files) / most, 1)
    return [files[int(number * step)] for number in range(min(most, len(files)))]


def data_uri(content: bytes) -> str:
    """A JPEG as an address that needs no file."""
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def overlay(image: NDArray[np.uint8], heat: NDArray[np.floating[Any]]) -> Image.Image:
    """Draws a heat map over an image.

    Args:
        image: RGB, shape (height, width, 3), 0..255.
        heat: Shape (rows, columns) of any size, 0..1; resized to the image.
    """
    size = image.shape[1], image.shape[0]
    resized = Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    strength = np.asarray(resized).clip(0, 1)[..., None]
    colour = mpl.colormaps["inferno"](strength[..., 0])[..., :3] * 255
    share = _OPACITY * strength
    return Image.fromarray(((1 - share) * image + share * colour).round().astype(np.uint8))
