"""`study explain`: a Grad-CAM overlay for one image."""

from pathlib import Path
from typing import Annotated

import typer

from concrete_study.cli.arguments import ModelOption


def explain_command(
    image: Annotated[Path, typer.Argument(help="Image file.")],
    study: ModelOption = None,
    layer: Annotated[str, typer.Option(help="Convolution layer of VGG16.")] = "block5_conv3",
    output: Annotated[
        Path | None, typer.Option(help="New PNG file.", show_default="IMAGE-LAYER.png")
    ] = None,
) -> None:
    """Show which image regions drive the predicted class (Grad-CAM).

    Example: study explain wall.jpg --layer block4_conv3
    """
    from concrete_study.cli.model import open_model
    from concrete_study.datasets.errors import DataError, UsageError

    if output is not None and (output.suffix.lower() != ".png" or output.exists()):
        raise UsageError(
            f"{output} {'exists' if output.exists() else 'is not a PNG file'}.",
            "Expected a new file that ends in .png.",
            "another name, or leave out --output to write IMAGE-LAYER.png.",
            parameter="output",
        )
    found, classes = open_model(study)

    from concrete_study.models.classifier import Classifier
    from concrete_study.models.export import KERAS_FILE
    from concrete_study.study.explanation import explain_image
    from concrete_study.study.prediction import predict_files

    classifier = Classifier(found.path / KERAS_FILE)
    [row] = predict_files(classifier, [str(image)], classes)
    if row.error:
        raise DataError(f"Cannot read {image}: {row.error}.")
    target = output or Path(f"{image.stem}-{layer}.png")
    explain_image(classifier, image, target, target=classes.index(row.predicted), layer=layer)
    typer.echo(f"{row.predicted} ({max(row.probabilities):.4f}); overlay: {target}")
