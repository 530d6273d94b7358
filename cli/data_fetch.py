"""`study data fetch`: download a published dataset."""

from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from concrete_study.cli.output import echo


class Dataset(StrEnum):
    """Datasets that can be downloaded."""

    METU = "metu"


def fetch_command(
    dataset: Annotated[Dataset, typer.Argument(help="Dataset to download.", show_default=False)],
    output: Annotated[Path, typer.Option(help="Folder for the class folders.")] = Path("datasets"),
    archive: Annotated[
        Path | None,
        typer.Option(help="Use this archive instead of downloading it."),
    ] = None,
    keep_archive: Annotated[
        bool, typer.Option("--keep-archive", help="Keep the archive in the cache folder.")
    ] = False,
    url: Annotated[str | None, typer.Option(hidden=True, help="Mirror of the archive.")] = None,
) -> None:
    """Download the METU dataset: 40,000 images of concrete, 241 MB.

    It needs 0.7 GB of disk space while unpacking. The same command resumes an interrupted
    download. Class folders are only created complete. Without a network, use --archive.

    Example: study data fetch metu --output photographs
    """
    from concrete_study.datasets import download
    from concrete_study.study.display import Display

    collection = {Dataset.METU: download.METU}[dataset]
    if url is not None:
        collection = collection._replace(url=url)
    with Display() as display:
        counts = download.fetch(
            collection, output, display, archive=archive, keep_archive=keep_archive
        )
        for name, count in counts.items():
            echo(f"{output / name}: {count} images")
        if keep_archive and archive is None:
            display.log(f"Archive: {collection.archive}")
        display.log(f"Please cite: {collection.citation}")
        display.log(f"Licence: {collection.licence}")
        option = "" if output == Path("datasets") else f" --data {quote(str(output))}"
        display.log(f"Next: study search{option}")
