"""Decoding of one image file to an array of pixels: CMYK, EXIF orientation, 16-bit, damage."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "BMP")
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


class UnreadableImageError(Exception):
    """A file cannot be decoded as an image; the message says why."""


def decode_image(path: Path, size: int | None = None) -> NDArray[np.uint8]:
    """Decodes a JPEG, PNG or BMP file as 8-bit RGB, upright, first frame only.

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
            image = _to_rgb(_upright(file))
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(f"too large to decode safely ({error})") from error
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
    return np.asarray(image if size is None else _resize(image, size))


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


def _to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB; 16-bit grayscale is scaled, because Pillow's conversion clips it to white."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    return image.convert("RGB")


def _unidentified(path: Path) -> str:
    if path.stat().st_size == 0:
        return "the file is empty"
    return "not a JPEG, PNG or BMP image"
