"""Photographs made small enough for a page."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from concrete_study.datasets.decoding import decode_image


def thumbnail(path: Path, size: int) -> bytes:
    """A photograph as the network sees it, squeezed into a square, as JPEG.

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
    """At most so many of the files, evenly spread over them."""
    step = max(len(files) / most, 1)
    return [files[int(number * step)] for number in range(min(most, len(files)))]


def data_uri(content: bytes, kind: str = "image/jpeg") -> str:
    """A file's content as an address that needs no file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
