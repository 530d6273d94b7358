"""Images made small enough for a page."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from concrete_study.datasets.decoding import decode_image


def thumbnail(path: Path, size: int) -> bytes:
    """An image as the network receives it, resized to a square, as JPEG.

    Args:
        path: An image file.
        size: Height and width in pixels.

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
