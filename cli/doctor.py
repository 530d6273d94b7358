"""`study doctor`: versions, hardware and the cache."""

from typing import Annotated

import typer


def doctor_command(
    clear_cache: Annotated[
        bool,
        typer.Option("--clear-cache", help="Remove cached features, downloads and the sample."),
    ] = False,
) -> None:
    """Print versions, devices, precision and cache sizes.

    Example: study doctor
    """
    from concrete_study.datasets.cache import cache_sizes, clear
    from concrete_study.datasets.files import cache_folder
    from concrete_study.models.quiet import import_tensorflow

    import_tensorflow()

    from concrete_study.models.backbone import BUNDLED_SHA256, load_weights
    from concrete_study.models.devices import prepare_devices
    from concrete_study.models.precision import choose_precision
    from concrete_study.results.environment import git_commit, versions

    for name, version in versions().items():
        typer.echo(f"{name:<15}{version}")
    precision = choose_precision("auto")
    typer.echo(f"{'commit':<15}{git_commit() or 'none (installed package)'}")
    typer.echo(f"{'devices':<15}{prepare_devices()}")
    typer.echo(f"{'precision':<15}{precision.name}: {precision.reason}")
    load_weights("bundled", seed=1)  # raises if they are damaged
    typer.echo(f"{'weights':<15}bundled, SHA-256 {BUNDLED_SHA256}")
    if clear_cache:
        typer.echo(f"{'cache':<15}{cache_folder()}: {clear() / 1e9:.2f} GB removed")
        return
    typer.echo(f"{'cache':<15}{cache_folder()}")
    for name, size in cache_sizes().items():
        typer.echo(f"{'':<15}{size / 1e9:8.2f} GB  {name}")
