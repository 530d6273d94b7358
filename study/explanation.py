"""Grad-CAM overlays of images as files."""

from pathlib import Path

from PIL import Image

from concrete_study.datasets.decoding import decode_image
from concrete_study.datasets.files import replacing
from concrete_study.models.classifier import LAST_CONVOLUTION, Classifier
from concrete_study.results.images import overlay

JPEG_QUALITY = 85


def explain_image(
    classifier: Classifier,
    image: Path,
    to: Path,
    *,
    target: int,
    layer: str = LAST_CONVOLUTION,
    side: int | None = None,
) -> None:
    """Writes an image with the Grad-CAM heat map of a class drawn over it.

    Args:
        classifier: The model.
        image: The image file.
        to: The file to write; its suffix, .png or .jpg, decides the format.
        target: The index of the class.
        layer: A convolution of the backbone.
        side: If given, the file has the image and its overlay next to each other, each of
            `side` x `side` pixels.

    Raises:
        UnreadableImageError: If the file is not an image.
        FileNotFoundError: If it does not exist.
        UsageError: If there is no such layer.
    """
    pixels = decode_image(image, classifier.size)
    shown = overlay(pixels, classifier.grad_cam(pixels, target, layer))
    if side is not None:
        pair = Image.new("RGB", (2 * side, side))
        for column, part in enumerate((Image.fromarray(pixels), shown)):
            pair.paste(part.resize((side, side)), (column * side, 0))
        shown = pair
    with replacing(to) as temporary:
        if to.suffix.lower() == ".png":
            shown.save(temporary, "PNG")
        else:
            shown.save(temporary, "JPEG", quality=JPEG_QUALITY)
