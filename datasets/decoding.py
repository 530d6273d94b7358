"""One image file to one array of pixels, whatever a camera or a scanner wrote into it."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "BMP")

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
# the middle of a progress display; what it cannot decode it refuses anyway. Set once, as
# `catch_warnings` in the threads that decode would restore each other's filters.
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadableImageError(Exception):
    """A file is no image that can be decoded; the message says why."""


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
        MemoryError: If the pixels find no room; the file may be good.
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
    # Broad, as what Pillow's parsers raise on damaged bytes is written nowhere: OSError,
    # SyntaxError and ValueError mostly, but struct.error, IndexError or zlib.error as well.
    except Exception as error:
        # Only the system's errors have a number: no permission, no file, a failing disk.
        if isinstance(error, OSError) and error.errno is not None:
            raise UnreadableImageError(f"unreadable: {error.strerror}") from error
        raise UnreadableImageError(f"damaged: {error}") from error
    if size is not None and image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def luminance(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Brightness in 0..255 of RGB pixels (..., 3), weighted as ITU-R BT.601, as Pillow does."""
    return np.asarray(pixels @ np.array([0.299, 0.587, 0.114], np.float32), np.float32)


def _upright(image: Image.Image) -> Image.Image:
    """The image as its EXIF orientation asks for; as it is stored if that cannot be read."""
    image.load()  # in a PNG the EXIF may come after the pixels
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # struct.error, SyntaxError, ...: the pixels are good without their EXIF
        return image
    # Not ImageOps.exif_transpose: it writes the EXIF anew, and fails on a damaged tag.
    method = UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


def _to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB; 16-bit grayscale is scaled, as Pillow's own conversion would clip it white."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    return image.convert("RGB")


def _unidentified(path: Path) -> str:
    if path.stat().st_size == 0:
        return "the file is empty"
    return "not a JPEG, PNG or BMP image"
