"""`study data fetch`: download of a published image collection."""

from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer


class CollectionName(StrEnum):
    """Collections that can be downloaded, by the name on the command line."""

    METU = "metu"


def fetch_command(
    source: Annotated[CollectionName, typer.Argument(help="What to download.", show_default=False)],
    to: Annotated[Path, typer.Option(help="Folder for Negative and Positive.")] = Path("datasets"),
    archive: Annotated[
        Path | None,
        typer.Option(help="The archive, if you have it; nothing is downloaded."),
    ] = None,
    keep_archive: Annotated[
        bool, typer.Option("--keep-archive", help="Keep the archive in the cache folder.")
    ] = False,
    url: Annotated[str | None, typer.Option(hidden=True, help="A mirror of the archive.")] = None,
) -> None:
    """Download METU's 40,000 images of concrete: 241 MB, needs 0.6 GB of disk space.

    The same command resumes an interrupted download; the class folders appear complete or not at
    all. Without a network, use --archive.

    Example: study data fetch metu --to images
    """
    from concrete_study.cli.display import Display
    from concrete_study.datasets import download

    collection = {CollectionName.METU: download.METU}[source]
    if url is not None:
        collection = collection._replace(url=url)
    with Display() as display:
        counts = download.fetch(collection, to, display, archive=archive, keep_archive=keep_archive)
        for name, count in counts.items():
            typer.echo(f"{to / name}: {count} images")
        if keep_archive and archive is None:
            display.log(f"The archive: {collection.archive}")
        display.log(f"Please cite: {collection.citation}")
        display.log(f"Licence: {collection.licence}")
        option = "" if to == Path("datasets") else f" --data {quote(str(to))}"
        display.log(f"Next: study search{option}")
