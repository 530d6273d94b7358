"""`study data fetch`: photographs from where their authors publish them."""

from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer


class BatchSource(StrEnum):
    """What can be fetched, by the name that is typed."""

    METU = "metu"


def fetch_command(
    source: Annotated[BatchSource, typer.Argument(help="What to fetch.", show_default=False)],
    to: Annotated[Path, typer.Option(help="Folder for Negative and Positive.")] = Path("datasets"),
    archive: Annotated[
        Path | None,
        typer.Option(help="The archive, fetched by hand; nothing is downloaded."),
    ] = None,
    keep_archive: Annotated[
        bool, typer.Option("--keep-archive", help="Keep the archive in the cache folder.")
    ] = False,
    url: Annotated[str | None, typer.Option(hidden=True, help="A mirror of the archive.")] = None,
) -> None:
    """Fetch METU's 40,000 photographs of concrete: 241 MB, 0.7 GB on the disk meanwhile.

    A download that breaks off goes on with the same command; the class folders appear whole
    or not at all. Without a network: --archive.

    Example: study data fetch metu --to photographs
    """
    from concrete_study.cli.display import Display
    from concrete_study.datasets import download

    collection = {BatchSource.METU: download.METU}[source]
    if url is not None:
        collection = collection._replace(url=url)
    with Display() as display:
        counts = download.fetch(collection, to, display, archive=archive, keep_archive=keep_archive)
        for name, count in counts.items():
            typer.echo(f"{to / name}: {count} photographs")
        if keep_archive and archive is None:
            display.log(f"The archive: {download.archive_path(collection)}")
        display.log(f"Please cite: {collection.citation}")
        display.log(f"Licence: {collection.licence}")
        option = "" if to == Path("datasets") else f" --data {quote(str(to))}"
        display.log(f"Next: study search{option}")
