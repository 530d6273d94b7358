"""Measures of one image: size, colour mode, brightness, contrast, sharpness, JPEG quality ..."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from scipy.ndimage import laplace

from concrete_study.datasets.decoding import UnreadableImageError, decode_image, luminance
from concrete_study.datasets.errors import DataError
from concrete_study.datasets.file_kinds import FORMATS
from concrete_study.datasets.folders import LabelledImage, Roots, locate
from concrete_study.datasets.splits import SplitRow

_SIDE = 256  # pixels; images are compared at one size
# Luminance quantization at quality 50 (ITU-T T.81, annex K.1), sorted: files order it differently.
_QUALITY_50 = np.array([
    10, 11, 12, 12, 13, 14, 14, 14, 16, 16, 16, 17, 18, 19, 22, 22, 24, 24, 24, 26, 29, 35,
    37, 40, 40, 49, 51, 51, 55, 55, 56, 56, 57, 58, 60, 61, 62, 64, 64, 68, 69, 72, 77, 78,
    80, 81, 87, 87, 92, 92, 95, 98, 99, 100, 101, 103, 103, 103, 104, 109, 112, 113, 120, 121,
])  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One image's properties, of the pixels as decoded if not stated otherwise."""

    file: str
    label: str
    width: int  # pixels, as stored
    height: int
    mode: str  # Pillow's: RGB, L, CMYK, I;16, ...
    brightness: float  # mean luminance, 0..255
    sharpness: float  # variance of the Laplacian of the luminance, at least 0
    contrast: float  # standard deviation of the luminance, at least 0
    saturation: float  # mean saturation (HSV), 0..1
    bytes: int  # of the file
    jpeg_quality: int | None  # 1..100, of the nearest standard quantization; None: no JPEG


def measure_images(
    roots: Roots,
    images: Sequence[LabelledImage | SplitRow],
    *,
    on_image: Callable[[], None] = lambda: None,
) -> list[Measured]:
    """Measures every image; each is decoded once.

    Args:
        roots: The folders of the images.
        images: What to measure.
        on_image: Called after each image.

    Raises:
        DataError: If an image can no longer be read.
    """
    measured = []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for one in pool.map(lambda i: _measure(locate(roots, i.file), i.file, i.label), images):
            measured.append(one)
            on_image()
    return measured


def _measure(path: Path, file: str, label: str) -> Measured:
    try:
        pixels = decode_image(path, _SIDE)  # first: it refuses what Pillow cannot open
        with Image.open(path, formats=FORMATS) as stored:
            (width, height), mode = stored.size, stored.mode
            quality = jpeg_quality(stored)
        size = path.stat().st_size
    except (OSError, UnreadableImageError) as error:
        raise DataError(
            f"{path} can no longer be read.", f"Expected an image as before; {error}."
        ) from error
    brightness = luminance(pixels)
    highest, lowest = pixels.max(-1).astype(np.float64), pixels.min(-1)
    return Measured(
        file=file,
        label=label,
        width=width,
        height=height,
        mode=mode,
        bytes=size,
        jpeg_quality=quality,
        brightness=float(brightness.mean()),
        contrast=float(brightness.std()),
        # Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
        sharpness=float(laplace(brightness).var()),
        saturation=float(((highest - lowest) / np.maximum(highest, 1)).mean()),
    )


def jpeg_quality(image: Image.Image) -> int | None:
    """The quality setting (libjpeg's, 1 to 100) whose quantization is nearest to that of a file.

    None for other formats. Encoders with tables of their own have no such setting; theirs is that
    of the standard tables which discard about as much.
    """
    if not isinstance(image, JpegImageFile) or not image.quantization:
        return None
    table = np.sort(np.asarray(next(iter(image.quantization.values()))))
    if len(table) != len(_QUALITY_50):
        return None
    return int(np.abs(_standard_tables() - table).sum(axis=1).argmin()) + 1


def _standard_tables() -> NDArray[np.int64]:
    """Libjpeg's luminance tables of the qualities 1 to 100, each sorted."""
    quality = np.arange(1, 101)[:, None]
    percent = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return ((_QUALITY_50 * percent + 50) // 100).clip(1, 255)
