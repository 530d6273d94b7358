"""Grad-CAM overlays of images as files."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from concrete_study.datasets.decoding import decode_image
from concrete_study.datasets.errors import DataError
from concrete_study.datasets.files import replacing
from concrete_study.models.classifier import LAST_CONVOLUTION, Classifier
from concrete_study.results.images import overlay
from concrete_study.study.prediction import Prediction, predict_files

JPEG_QUALITY = 85


class Explanation(NamedTuple):
    """A Grad-CAM overlay, and the prediction that it explains."""

    path: Path  # the PNG file
    predicted: str
    probability: float


def explain_prediction(
    classifier: Classifier,
    classes: Sequence[str],
    image: Path,
    to: Path | None = None,
    *,
    layer: str = LAST_CONVOLUTION,
) -> Explanation:
    """Predicts an image and writes the overlay of the predicted class.

    Args:
        classifier: The model.
        classes: In the model's order.
        image: The image file.
        to: A new PNG file, see `ensure_new_png`; None is IMAGE-LAYER.png in the working folder.
        layer: A convolution of the backbone.

    Raises:
        UsageError: If there is no such layer.
        DataError: If the image cannot be read.
    """
    [row] = predict_files(classifier, [str(image)], classes)
    if row.error:
        raise DataError(f"Cannot read {image}: {row.error}.")
    target = to or Path(f"{image.stem}-{layer}.png")
    explain_image(classifier, image, target, target=classes.index(row.predicted), layer=layer)
    return Explanation(target, row.predicted, max(row.probabilities))


def with_overlays(
    rows: Iterable[Prediction], classifier: Classifier, classes: Sequence[str], folder: Path
) -> Iterator[Prediction]:
    """Passes rows on and writes an overlay of the predicted class for each image."""
    for number, row in enumerate(rows):
        if not row.error:
            # Row numbers: files in different folders may have the same name.
            # Shortened: a name may have 255 bytes.
            to = folder / f"{number:06}-{Path(row.file).stem[:48]}.png"
            explain_image(classifier, Path(row.file), to, target=classes.index(row.predicted))
        yield row


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
