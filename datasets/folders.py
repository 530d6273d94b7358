"""Reading a folder of labelled images: every file is hashed and, once, decoded."""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np
import PIL
from numpy.typing import NDArray

from concrete_study.datasets.cache import read_cached, write_cached
from concrete_study.datasets.decoding import (
    MAX_MEGAPIXELS,
    THUMBNAIL_SIDE,
    UnreadableImageError,
    decode_image,
    pixel_limit,
    thumbnail,
)
from concrete_study.datasets.errors import DataError
from concrete_study.datasets.files import cache_folder, file_sha256
from concrete_study.datasets.layouts import Layout, LayoutFile, find_layout
from concrete_study.datasets.printing import printable
from concrete_study.datasets.progress import SILENT, Progress
from concrete_study.datasets.tree import Ignored

Roots: TypeAlias = Mapping[str, Path]
"""Folders by dataset name, with which files begin; a single folder has the name ""."""


def locate(roots: Roots, file: str) -> Path:
    """Path of a file on this machine."""
    return root_of(roots, file) / (file if "" in roots else file.partition("/")[2])


def root_of(roots: Roots, file: str) -> Path:
    """Folder that a file belongs to."""
    return roots["" if "" in roots else file.partition("/")[0]]


class LabelledImage(NamedTuple):
    """An image that can be decoded; `file` is relative to the folder, with forward slashes."""

    file: str
    label: str
    sha256: str
    subset: str = ""  # given by the layout: train, validation or test


@dataclass(frozen=True, order=True)
class Fault:
    """An excluded file, and why."""

    file: str
    reason: str


class ImageFolder(NamedTuple):
    """The content of a folder: classes, images and faults, each sorted by name."""

    roots: Roots
    classes: list[str]
    images: list[LabelledImage]
    faults: list[Fault]
    # By SHA-256, of the images that had to be decoded; `find_pairs` decodes the others.
    thumbnails: Mapping[str, NDArray[np.uint8]] = MappingProxyType({})
    ignored: Sequence[Ignored] = ()
    notes: Sequence[str] = ()  # on the layout

    def files(self) -> dict[str, Path]:
        """One file of each content, by SHA-256."""
        return {image.sha256: locate(self.roots, image.file) for image in self.images}

    @property
    def fingerprint(self) -> str:
        """SHA-256 over every image's name and content: the same data, the same fingerprint."""
        lines = "\n".join(f"{image.file} {image.sha256}" for image in self.images)
        return hashlib.sha256(lines.encode()).hexdigest()


def read_folder(
    root: Path,
    *,
    class_map: Mapping[str, str] = MappingProxyType({}),
    labels: Path | None = None,
    least_classes: int = 2,
    progress: Progress = SILENT,
) -> ImageFolder:
    """Reads every image and checks once, as the user's cache records, that it can be decoded.

    Args:
        root: Folder of images, in one of the layouts that `find_layout` knows.
        class_map: Classes by folder, see `find_layout`.
        labels: A CSV file of labels, see `find_layout`.
        least_classes: Smallest number of classes.
        progress: Receives counts of the files.

    Returns:
        The folder's classes, images, faults and ignored files.

    Raises:
        DataError: If the layout is unknown or has too few classes, or no image of one is readable.
        UsageError: If `labels` cannot be used.
    """
    layout = find_layout(root, class_map=class_map, labels=labels, least_classes=least_classes)
    images: list[LabelledImage] = []
    faults: list[Fault] = []
    decodable = read_cached(_decodable_path(), set[str]) or set()
    thumbnails: dict[str, NDArray[np.uint8]] = {}
    with (
        progress.counting("reading images", len(layout.files)) as done,
        ThreadPoolExecutor(max_workers=os.cpu_count()) as pool,
    ):
        for result in pool.map(lambda f: _inspect(root, f, decodable, thumbnails), layout.files):
            if isinstance(result, Fault):
                faults.append(result)
            else:
                images.append(result)
            done(1)
    if thumbnails:
        with suppress(OSError):  # a cache that cannot be written costs time only
            write_cached(_decodable_path(), sorted(decodable | thumbnails.keys()))
    _require_classes(layout, images, faults)
    return ImageFolder(
        {"": root}, layout.classes, images, faults, thumbnails, layout.ignored, layout.notes
    )


def _decodable_path() -> Path:
    """Contents that Pillow decoded to the last byte; another version or limit may not."""
    limit = f"-{pixel_limit():g}-megapixels" if pixel_limit() != MAX_MEGAPIXELS else ""
    return cache_folder() / "decodable" / f"pillow-{PIL.__version__}{limit}.json"


def _require_classes(
    layout: Layout, images: Sequence[LabelledImage], faults: Sequence[Fault]
) -> None:
    counts = Counter(image.label for image in images)
    reasons = {fault.file: fault.reason for fault in faults}
    for label in layout.classes:
        if not counts[label]:
            first = next(f.file for f in layout.files if f.label == label)
            raise DataError(
                f"no image of class {label} can be read.",
                f"Expected images such as JPEG or PNG; {printable(first)}: "
                f"{reasons[printable(first)]}.",
                f"convert the images of {label}, or move the folder away.",
            )


def _inspect(
    root: Path, listed: LayoutFile, decodable: set[str], thumbnails: dict[str, NDArray[np.uint8]]
) -> LabelledImage | Fault:
    """Labels an image that can be decoded, and keeps its thumbnail if it was decoded for that."""
    file, path = listed.file, root / listed.file
    if (readable := printable(file)) != file:
        return Fault(readable, "its name is not UTF-8")
    try:
        digest = file_sha256(path)
        if digest not in decodable:
            thumbnails[digest] = thumbnail(decode_image(path, THUMBNAIL_SIDE))
    except UnreadableImageError as error:
        return Fault(file, str(error))
    except OSError as error:
        return Fault(file, f"unreadable: {error.strerror}")
    return LabelledImage(file, listed.label, digest, listed.subset)
