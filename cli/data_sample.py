"""`study data sample`: drawn photographs, in the built-in sample's domain or another."""

from pathlib import Path
from typing import Annotated

import typer


def sample_command(
    to: Annotated[
        Path | None, typer.Option(help="Folder to make.", show_default="sample-DOMAIN")
    ] = None,
    domain: Annotated[
        str, typer.Option(help="plain, or fine: other light, finer cracks.")
    ] = "plain",
    images: Annotated[int, typer.Option(help="Of both classes together, even.")] = 240,
    size: Annotated[int, typer.Option(help="Height and width in pixels.")] = 227,
    seed: Annotated[
        int | None, typer.Option(help="Of every choice.", show_default="the domain's own")
    ] = None,
) -> None:
    """Draw synthetic photographs of concrete, half of them cracked.

    Example: study data sample --domain fine, then: study evaluate first --data sample-fine
    """
    from concrete_study.datasets.errors import ResourceError, UsageError
    from concrete_study.datasets.sample import make_sample
    from concrete_study.datasets.synthetic_domains import DOMAINS

    if domain not in DOMAINS:
        raise UsageError(f"no domain {domain}.", f"Expected one of {', '.join(DOMAINS)}.")
    folder = to or Path(f"sample-{domain}")
    try:
        seed = DOMAINS[domain].seed if seed is None else seed
        make_sample(folder, images=images, size=size, seed=seed, domain=DOMAINS[domain])
    except FileExistsError as error:
        raise ResourceError(str(error), hint="another folder: --to FOLDER.") from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    typer.echo(f"{images} photographs in {folder}/: {images // 2} Negative, {images // 2} Positive")
