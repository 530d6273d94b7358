"""Changes to an image that keep its label, to validate a model out of distribution.

Kinds and strengths follow the milder severities of Hendrycks and Dietterich, "Benchmarking neural
network robustness to common corruptions and perturbations", ICLR 2019; `scale` shows twice the
surface, mirrored at the edges.
"""

from collections.abc import Callable
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]

# Part of the key of stored features: change it when the shifts change.
SHIFTS_VERSION = "1"
NOISE = 0.12  # standard deviation, as a share of the range
CONTRAST = 0.4  # factor
BRIGHTNESS = 0.2  # added or subtracted, as a share of the range
BLUR = 1 / 112  # standard deviation, as a share of the image's size
JPEG_QUALITY = 18


def _noise(pixels: Pixels, random: np.random.Generator) -> Pixels:
    return _as_pixels(pixels + random.normal(0, NOISE * 255, pixels.shape))


def _blur(pixels: Pixels, _: np.random.Generator) -> Pixels:
    blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(BLUR * len(pixels)))
    return np.asarray(blurred)


def _contrast(pixels: Pixels, _: np.random.Generator) -> Pixels:
    mean = pixels.mean((0, 1))
    return _as_pixels(mean + CONTRAST * (pixels - mean))


def _brightness(pixels: Pixels, random: np.random.Generator) -> Pixels:
    return _as_pixels(pixels + random.choice([-1, 1]) * BRIGHTNESS * 255)


def _jpeg(pixels: Pixels, _: np.random.Generator) -> Pixels:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(file))


def _scale(pixels: Pixels, _: np.random.Generator) -> Pixels:
    size = len(pixels)
    half = np.asarray(Image.fromarray(pixels).resize((size // 2,) * 2, Image.Resampling.BOX))
    before, after = size // 4, size - size // 2 - size // 4
    return np.pad(half, ((before, after), (before, after), (0, 0)), "symmetric")


SHIFTS: dict[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
    "noise": _noise,
    "blur": _blur,
    "contrast": _contrast,
    "brightness": _brightness,
    "jpeg": _jpeg,
    "scale": _scale,
}


def apply_shift(name: str, pixels: Pixels, digest: str) -> Pixels:
    """One shift of an image, a pure function of the pixels and the file's content.

    Args:
        name: One of `SHIFTS`.
        pixels: RGB, shape (size, size, 3), at least 32 pixels wide.
        digest: SHA-256 of the image's file, hexadecimal.
    """
    # Philox is counter-based: its stream depends only on the key, on every machine.
    key = np.array([int(digest[:16], 16), list(SHIFTS).index(name)], np.uint64)
    return SHIFTS[name](pixels, np.random.Generator(np.random.Philox(key=key)))


def _as_pixels(values: NDArray[np.floating]) -> Pixels:
    pixels: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels
