"""`study data leakage`: what a split that takes no notice of copies would hide."""

from pathlib import Path
from typing import Annotated

import typer

from concrete_study.cli.tables import Format, FormatOption, print_frame


def leakage_command(
    folder: Annotated[Path, typer.Argument(help="One sub-folder per class.")],
    seeds: Annotated[int, typer.Option(min=2, help="Splits of each kind.")] = 5,
    image_size: Annotated[int, typer.Option(help="Height and width in pixels.")] = 224,
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    format: FormatOption = Format.TABLE,
) -> None:
    """Compare a random split with one that keeps copies of a picture together.

    The same probe, a logistic regression on frozen VGG16 features, is trained and tested on
    both. What it gains on the random split beyond chance, it owes to pictures that it
    was trained on.

    Example: study data leakage photographs --seeds 10
    """
    from concrete_study.cli.quiet import import_tensorflow

    import_tensorflow()

    from concrete_study.cli.display import Display
    from concrete_study.results.leakage import leakage_table
    from concrete_study.results.records import SearchOptions
    from concrete_study.study.leakage import probe_leakage

    options = SearchOptions(data=(str(folder),), image_size=image_size, precision=precision)
    with Display() as display:
        runs = probe_leakage(options, range(1, seeds + 1), display)
    if not any(run.leaked for run in runs):
        typer.echo(
            "No test image had a copy among the training images in either kind of split: what the "
            "two differ by is chance.",
            err=True,
        )
    print_frame(leakage_table(runs), format, f"Errors of a linear probe on {folder}")
