"""`study explain`: a Grad-CAM overlay for one image."""

from pathlib import Path
from typing import Annotated

import typer

from concrete_study.cli.arguments import ModelOption
from concrete_study.cli.output import echo


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
    from concrete_study.study.output_paths import ensure_new_png

    ensure_new_png(output)
    made = open_model(study).explain(image, output, layer=layer)
    echo(f"{made.predicted} ({made.probability:.4f}); overlay: {made.path}")
