"""Decoding of one image file to an array of pixels: CMYK, EXIF orientation, 16-bit, damage."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile

from concrete_study.datasets.errors import UsageError
from concrete_study.datasets.file_kinds import FORMATS
from concrete_study.datasets.limits import MAX_MEGAPIXELS as MAX_MEGAPIXELS

LARGE_MEGAPIXELS = 50.0  # above, a JPEG is reduced while it is decoded
_MEGAPIXEL = 1_000_000
_AT_ONCE = 100.0  # megapixels in memory of all threads; larger images are reduced and alone
_UNCOUNTED = 10.0  # smaller images need no waiting
THUMBNAIL_SIDE = 128  # height and width in pixels

UPRIGHT = {  # EXIF's orientations but 1, which is upright already
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow warns of damaged EXIF, palettes with transparency, and images from 89 megapixels on, in
# the middle of a progress display; it raises for what it cannot decode anyway. Set once:
# `catch_warnings` in several threads would restore each other's filters.
warnings.filterwarnings("ignore", module=r"PIL\.")


def limit_pixels(megapixels: float) -> None:
    """Sets the size, for this process, beyond which images are not decoded.

    Raises:
        UsageError: If it is not a finite number of at least 1.
    """
    if not 1 <= megapixels < math.inf:
        raise UsageError(
            f"{megapixels} is not valid.",
            "Expected a finite number of at least 1.",
            parameter="max_megapixels",
        )
    Image.MAX_IMAGE_PIXELS = int(megapixels * _MEGAPIXEL / 2)  # Pillow raises from twice that


def pixel_limit() -> float:
    """The limit in megapixels."""
    return 2 * (Image.MAX_IMAGE_PIXELS or 0) / _MEGAPIXEL


limit_pixels(MAX_MEGAPIXELS)
# glibc keeps a thread's freed blocks of up to 32 MB, Pillow's of 16 MB among them: 800 MB of each
# thread for a PNG of 200 megapixels. Larger blocks go back to the system; small images have one.
Image.core.set_block_size(1 << 26)  # type: ignore[attr-defined]


class _Megapixels:
    """Megapixels that are decoded at once, in all threads together."""

    def __init__(self, total: float) -> None:
        self._free, self._total = total, total
        self._changed = Condition()

    @contextmanager
    def taken(self, megapixels: float) -> Iterator[None]:
        """Waits until so many are free; an image larger than all is decoded alone."""
        if megapixels < _UNCOUNTED:
            yield
            return
        needed = min(megapixels, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= needed)
            self._free -= needed
        try:
            yield
        finally:
            with self._changed:
                self._free += needed
                self._changed.notify_all()


_memory = _Megapixels(_AT_ONCE)


class UnreadableImageError(Exception):
    """A file cannot be decoded as an image; the message says why."""


def decode_image(path: Path, size: int | None = None) -> NDArray[np.uint8]:
    """Decodes an image file as 8-bit RGB, upright, first frame only.

    A JPEG above LARGE_MEGAPIXELS is reduced by a power of two to at most that size, other images
    above twice that.

    Args:
        path: The file; its content decides the format, not its name.
        size: Height and width to resize to, bilinear with antialiasing, in pixels;
            None keeps the file's own.

    Returns:
        Pixels of shape (height, width, 3) in 0..255.

    Raises:
        UnreadableImageError: If the file cannot be decoded to its last byte.
        MemoryError: If the pixels do not fit into memory; the file may be good.
    """
    try:
        with Image.open(path, formats=FORMATS) as file:
            factor = _reduce_while_decoding(file)
            with _memory.taken(megapixels(file)):
                image = _to_rgb(_upright(file), factor)
                return np.asarray(image if size is None else _resize(image, size))
    except Image.DecompressionBombError as error:
        reason = f"larger than {pixel_limit():g} megapixels, too large to decode safely"
        raise UnreadableImageError(reason) from error
    except UnidentifiedImageError as error:
        raise UnreadableImageError(_unidentified(path)) from error
    except MemoryError:
        raise
    # Broad: what Pillow's parsers raise on damaged bytes is not documented. Mostly OSError,
    # SyntaxError and ValueError, but struct.error, IndexError or zlib.error as well.
    except Exception as error:
        # Only the system's errors have a number: no permission, no file, a failing disk.
        if isinstance(error, OSError) and error.errno is not None:
            raise UnreadableImageError(f"unreadable: {error.strerror}") from error
        raise UnreadableImageError(f"damaged: {error}") from error


def megapixels(image: Image.Image) -> float:
    """Size of an image in millions of pixels."""
    return image.width * image.height / _MEGAPIXEL


def _reduce_while_decoding(file: Image.Image) -> int:
    """Makes Pillow decode a large JPEG or JPEG 2000 at a fraction of its size.

    Returns:
        The factor that is left for other formats, which Pillow decodes whole.
    """
    power = 0
    while megapixels(file) / 4**power > LARGE_MEGAPIXELS:
        power += 1
    factor = 1 << power
    if power and isinstance(file, JpegImageFile):
        file.draft(file.mode, (file.width // factor, file.height // factor))
    elif power and isinstance(file, Jpeg2KImageFile):
        file.reduce = power
    elif megapixels(file) > _AT_ONCE:
        return factor
    return 1


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luminance of an image at THUMBNAIL_SIDE, which near-duplicate detection compares.

    Args:
        pixels: RGB of shape (height, width, 3), from `decode_image`.

    Returns:
        Shape (THUMBNAIL_SIDE, THUMBNAIL_SIDE) in 0..255.
    """
    small = _resize(Image.fromarray(pixels), THUMBNAIL_SIDE)
    return luminance(np.asarray(small)).round().astype(np.uint8)


def _resize(image: Image.Image, size: int) -> Image.Image:
    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.BILINEAR)


def luminance(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Brightness in 0..255 of RGB pixels (..., 3), weighted as ITU-R BT.601, as Pillow does."""
    return np.asarray(pixels @ np.array([0.299, 0.587, 0.114], np.float32), np.float32)


def _upright(image: Image.Image) -> Image.Image:
    """The image rotated by its EXIF orientation; unchanged if that cannot be read."""
    image.load()  # in a PNG the EXIF may come after the pixels
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # struct.error, SyntaxError, ...: the pixels are good without their EXIF
        return image
    # Not ImageOps.exif_transpose: it rewrites the EXIF, and fails on a damaged tag.
    method = UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


def _to_rgb(image: Image.Image, factor: int = 1) -> Image.Image:
    """8-bit RGB; 16-bit grayscale is scaled, because Pillow's conversion clips it to white."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range; convert to 8 bits")
    if image.mode in ("L", "RGB", "RGBA", "CMYK") and factor > 1:  # a whole conversion takes more
        image, factor = image.reduce(factor), 1
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    converted = image if image.mode == "RGB" else image.convert("RGB")  # it would copy
    return converted.reduce(factor) if factor > 1 else converted


def _unidentified(path: Path) -> str:
    if path.stat().st_size == 0:
        return "the file is empty"
    return f"not an image of a known format ({', '.join(FORMATS)})"
