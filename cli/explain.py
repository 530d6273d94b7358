"""`study explain`: where the retrained model looked on one photograph."""

from pathlib import Path
from typing import Annotated

import typer

from concrete_study.cli.arguments import ModelOption


def explain_command(
    image: Annotated[Path, typer.Argument(help="The photograph.")],
    study: ModelOption = None,
    layer: Annotated[str, typer.Option(help="A convolution of VGG16.")] = "block5_conv3",
    to: Annotated[
        Path | None, typer.Option(help="PNG to write.", show_default="IMAGE-LAYER.png, here")
    ] = None,
) -> None:
    """Show what speaks for the class predicted.

    Parts of a photograph, by Grad-CAM.

    Example: study explain wall.jpg --layer block4_conv3
    """
    from concrete_study.cli.model import open_model
    from concrete_study.datasets.decoding import UnreadableImageError, decode_image
    from concrete_study.datasets.errors import DataError, UsageError
    from concrete_study.datasets.files import replacing

    if to is not None and (to.suffix.lower() != ".png" or to.exists()):
        raise UsageError(
            f"--to {to} cannot be written.",
            f"Expected a new file with the ending .png; {to} "
            + ("exists." if to.exists() else "ends otherwise."),
            "another name; without --to it is IMAGE-LAYER.png in this folder.",
        )
    found, classes = open_model(study)

    from concrete_study.models.classifier import Classifier
    from concrete_study.models.export import KERAS_FILE
    from concrete_study.results.overlays import overlay

    classifier = Classifier(found.best_path / KERAS_FILE)
    try:
        pixels = decode_image(image, classifier.size)
    except (UnreadableImageError, FileNotFoundError) as error:
        raise DataError(f"{image} cannot be explained: {error}.") from error
    probabilities = classifier.probabilities(pixels[None])[0]
    chosen = int(probabilities.argmax())
    try:
        heat = classifier.grad_cam(pixels, chosen, layer)
    except ValueError as error:
        raise UsageError(str(error)) from error
    target = to or Path(f"{image.stem}-{layer}.png")
    with replacing(target) as temporary:
        overlay(pixels, heat).save(temporary, "PNG")
    typer.echo(f"{classes[chosen]} ({probabilities[chosen]:.4f}); evidence drawn in {target}")
