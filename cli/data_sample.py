"""`study data sample`: synthetic images from the domain of the built-in sample or another."""

from pathlib import Path
from typing import Annotated

import typer

from concrete_study.cli.output import echo


def sample_command(
    output: Annotated[
        Path | None, typer.Option(help="New folder.", show_default="sample-DOMAIN")
    ] = None,
    domain: Annotated[
        str, typer.Option(help="plain, or fine: different lighting, finer cracks.")
    ] = "plain",
    images: Annotated[
        int, typer.Option(help="Number of images of both classes together, even.")
    ] = 240,
    size: Annotated[int, typer.Option(help="Height and width in pixels.")] = 227,
    seed: Annotated[
        int | None, typer.Option(help="Random seed.", show_default="that of the domain")
    ] = None,
) -> None:
    """Generate synthetic images of concrete, half of them cracked.

    Example: study data sample --domain fine, then: study evaluate first --data sample-fine
    """
    from concrete_study.datasets.errors import ResourceError, UsageError
    from concrete_study.datasets.sample import DOMAINS, make_sample

    if domain not in DOMAINS:
        raise UsageError(
            f"{domain} is unknown.", f"Expected one of {', '.join(DOMAINS)}.", parameter="domain"
        )
    folder = output or Path(f"sample-{domain}")
    try:
        seed = DOMAINS[domain].seed if seed is None else seed
        make_sample(folder, images=images, size=size, seed=seed, domain=DOMAINS[domain])
    except FileExistsError as error:
        raise ResourceError(str(error), hint="--output with a new folder.") from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    echo(f"{images} images in {folder}/: {images // 2} Negative, {images // 2} Positive")
