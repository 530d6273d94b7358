"""Photographs from where their authors publish them: fetched, checked, put in place."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from concrete_study.datasets.archive import unpack
from concrete_study.datasets.errors import DataError, ResourceError, UsageError
from concrete_study.datasets.files import cache_folder, file_sha256
from concrete_study.datasets.transfer import BY_HAND, Patience, Watcher, transfer


class Collection(NamedTuple):
    """Photographs in one archive of class folders; sizes in bytes."""

    name: str
    url: str
    size: int
    sha256: str
    unpacked: int  # on a disk of 4 KiB blocks
    images: int
    classes: tuple[str, ...]
    citation: str
    licence: str


METU = Collection(
    name="metu",
    url="https://data.mendeley.com/public-files/datasets/5y9wdsg2zt/files/"
    "8a70d8a5-bce9-4291-bab9-b48cfb3e87c3/file_downloaded",
    size=241_363_336,
    sha256="08d7dc505a4f5a0330cee2fa2a1ae4b5b4f98bcffd0549b774caf7959bb1f02f",
    unpacked=340_000_000,  # a tenth of the files takes 33.5 MB
    images=40_000,
    classes=("Negative", "Positive"),
    citation='Özgenel (2019), "Concrete Crack Images for Classification", Mendeley Data, V2, '
    "doi 10.17632/5y9wdsg2zt.2",
    licence="CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)",
)


def fetch(
    collection: Collection,
    folder: Path,
    watcher: Watcher,
    *,
    archive: Path | None = None,
    keep_archive: bool = False,
    patience: Patience | None = None,
) -> dict[str, int]:
    """Fetches a collection into `folder/<class>`; the classes appear whole or not at all.

    What has arrived stays in the cache folder after a break, and the next call goes on there.

    Args:
        collection: What to fetch, e.g. `METU`.
        folder: Where to; it may hold other things, but nothing in the class folders.
        watcher: Told of what takes time.
        archive: A file fetched by hand; the network is then left alone, and the file kept.
        keep_archive: Keep the archive in the cache folder.
        patience: How long to wait for a server.

    Returns:
        How many photographs each class has.

    Raises:
        UsageError: If `archive` is no file or `folder` is one.
        DataError: If there are files in the class folders.
        ResourceError: If the archive cannot be fetched or is not the one expected, if there
            is no room, or if another process is fetching the same.
    """
    _require_free(folder, collection)
    if archive is not None:
        _require_file(archive, collection)
    with _alone(collection):
        _require_room(_needs(collection, folder, archive))
        source = archive or _fetch_archive(collection, watcher, patience)
        if archive is not None:
            _require_intact(archive, collection)
        with watcher.counting("unpacking", collection.images) as done:
            counts = unpack(source, folder, collection.classes, on_image=lambda: done(1))
        if archive is None and not keep_archive:
            source.unlink()
    return counts


def archive_path(collection: Collection) -> Path:
    """Where the archive lies once it has arrived whole, in the user's cache folder."""
    return cache_folder() / "downloads" / f"{collection.name}.rar"


def _part_path(collection: Collection) -> Path:
    return archive_path(collection).with_suffix(".rar.part")


def _fetch_archive(collection: Collection, watcher: Watcher, patience: Patience | None) -> Path:
    whole, part = archive_path(collection), _part_path(collection)
    if not whole.exists():
        transfer(collection.url, part, collection.size, watcher, patience=patience)
    arrived = whole if whole.exists() else part
    try:
        _require_intact(arrived, collection)
    except ResourceError as error:
        arrived.unlink()
        error.hint = f"the same command again, as that file was removed; or {error.hint}"
        raise
    return arrived.replace(whole)


def _require_file(archive: Path, collection: Collection) -> None:
    if not archive.is_file():
        raise UsageError(
            f"no file {archive}.",
            f"Expected {collection.name}'s archive of {collection.size:,} bytes; found none.",
            f"download {collection.url} and give its path with --archive.",
        )


def _require_intact(path: Path, collection: Collection) -> None:
    size = path.stat().st_size
    if size != collection.size:
        expected, received = f"{collection.size:,} bytes", f"{size:,}"
    else:
        expected, received = f"SHA-256 {collection.sha256}", file_sha256(path)
        if received == collection.sha256:
            return
    raise ResourceError(
        f"{path} is not {collection.name}'s archive, or a damaged one.",
        f"Expected {expected}; received {received}.",
        BY_HAND.format(url=collection.url),
    )


def _require_free(folder: Path, collection: Collection) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(
            f"{folder} is no folder.",
            "Expected a folder, or nothing there yet; found a file.",
            "choose another folder with --to.",
        )
    for place in (folder / name for name in collection.classes):
        if place.is_dir() and not place.is_symlink():
            found = f"{len(list(place.iterdir()))} files"
        else:
            found = "something that is no folder" if os.path.lexists(place) else "0 files"
        if found != "0 files":
            raise DataError(
                f"{place} is taken.",
                f"Expected nothing there, or an empty folder; found {found}.",
                f"study search --data {folder} if these are the photographs; else move them "
                "away, or choose another folder with --to.",
            )


def _needs(collection: Collection, folder: Path, archive: Path | None) -> dict[Path, int]:
    """Bytes that are still to be written, by folder."""
    missing = 0
    if archive is None and not archive_path(collection).exists():
        part = _part_path(collection)
        missing = collection.size - (part.stat().st_size if part.exists() else 0)
    return {archive_path(collection).parent: missing, folder: collection.unpacked}


def _require_room(needs: Mapping[Path, int]) -> None:
    """Adds up what goes to the same file system."""
    wanted: dict[int, int] = {}
    places: dict[int, Path] = {}
    for folder, size in needs.items():
        place = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        device = place.stat().st_dev
        wanted[device] = wanted.get(device, 0) + size
        places[device] = place
    for device, size in wanted.items():
        free = shutil.disk_usage(places[device]).free
        if free < size:
            raise ResourceError(
                f"not enough room at {places[device]}.",
                f"Expected {size / 1e6:,.0f} MB for the archive and what is in it; "
                f"found {free / 1e6:,.0f} MB.",
                "free some space, or choose another folder with --to; STUDY_CACHE_DIR moves the "
                "cache, where the archive goes.",
            )


@contextmanager
def _alone(collection: Collection) -> Iterator[None]:
    """Two processes would write into the same file."""
    lock = archive_path(collection).with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, blocking=False):
            yield
    except Timeout as error:
        raise ResourceError(
            f"{collection.name} is being fetched already.",
            f"Expected no other process at it; found one that holds {lock}.",
            "wait until it has ended.",
        ) from error
