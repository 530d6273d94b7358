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
    from concrete_study.datasets.errors import DataError, UsageError

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
    from concrete_study.study.explanation import explain_image
    from concrete_study.study.prediction import predict_files

    classifier = Classifier(found.best_path / KERAS_FILE)
    [row] = predict_files(classifier, [str(image)], classes)
    if row.error:
        raise DataError(f"{image} cannot be explained: {row.error}.")
    target = to or Path(f"{image.stem}-{layer}.png")
    explain_image(classifier, image, target, target=classes.index(row.predicted), layer=layer)
    typer.echo(f"{row.predicted} ({max(row.probabilities):.4f}); evidence drawn in {target}")
