"""Class folders: one sub-folder per class, every image in it labelled with the folder's name."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np
import PIL
from numpy.typing import NDArray

from concrete_study.datasets.decoding import UnreadableImageError, decode_image, thumbnail
from concrete_study.datasets.errors import DataError
from concrete_study.datasets.files import cache_folder, file_sha256, write_json

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
OTHER_IMAGES = frozenset({".gif", ".webp", ".tif", ".tiff", ".heic", ".avif"})
SPLIT_NAMES = frozenset(
    {"train", "training", "val", "valid", "validation", "test", "testing"}
)  # parts of a ready-made split; next to other names, such a name is a class


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


@dataclass(frozen=True, order=True)
class Fault:
    """An excluded file, and why."""

    file: str
    reason: str


class ImageFolder(NamedTuple):
    """The content of a folder of class folders: classes, images and faults, each sorted by name."""

    roots: Roots
    classes: list[str]
    images: list[LabelledImage]
    faults: list[Fault]
    # By SHA-256, of the images that had to be decoded; `find_pairs` decodes the others.
    thumbnails: Mapping[str, NDArray[np.uint8]] = MappingProxyType({})

    def files(self) -> dict[str, Path]:
        """One file of each content, by SHA-256."""
        return {image.sha256: locate(self.roots, image.file) for image in self.images}

    @property
    def fingerprint(self) -> str:
        """SHA-256 over every image's name and content: the same data, the same fingerprint."""
        lines = "\n".join(f"{image.file} {image.sha256}" for image in self.images)
        return hashlib.sha256(lines.encode()).hexdigest()


def class_folders(root: Path) -> list[Path]:
    """Sub-folders of `root` that hold image files, sorted; empty if there are none.

    Names that begin with a dot or an underscore are no classes (`.git`, `__pycache__`).

    Raises:
        DataError: If a folder cannot be read: ignoring it would drop a class silently.
    """
    try:
        if not root.is_dir():
            return []
        folders = [f for f in root.iterdir() if f.is_dir() and not f.name.startswith((".", "_"))]
        return sorted(folder for folder in folders if _files(folder))
    except PermissionError as error:
        raise DataError(
            f"the folder {error.filename} cannot be read.",
            f"Expected permission to list and open its files; received: {error.strerror}.",
            f"chmod -R u+rX {root}",
        ) from error


def loose_images(root: Path) -> list[Path]:
    """Image files directly in `root`, by suffix, sorted; hidden files are ignored."""
    if not root.is_dir():
        return []
    known = SUFFIXES | OTHER_IMAGES
    visible = (path for path in root.iterdir() if not path.name.startswith("."))
    return sorted(path for path in visible if path.suffix.lower() in known and path.is_file())


def read_folder(root: Path, *, on_image: Callable[[], None] = lambda: None) -> ImageFolder:
    """Reads every image and checks that it can be decoded, so that no search fails on a bad one.

    Images whose content was decoded before, as the user's cache records, are not decoded again.

    Args:
        root: Folder with one sub-folder per class.
        on_image: Called after each file, for a progress display.

    Returns:
        The folder's classes, images and faults.

    Raises:
        DataError: If there are fewer than two class folders with images in them, if they are
            the parts of a ready-made split, or if no image of a class can be read.
    """
    folders = class_folders(root)
    _refuse_split(root, folders)
    if len(folders) < 2:
        raise DataError(*_too_few_classes(root, folders))
    paths = [path for folder in folders for path in _files(folder)]
    images: list[LabelledImage] = []
    faults: list[Fault] = []
    decodable = _read_decodable()
    thumbnails: dict[str, NDArray[np.uint8]] = {}
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for result in pool.map(lambda path: _inspect(root, path, decodable, thumbnails), paths):
            if isinstance(result, Fault):
                faults.append(result)
            else:
                images.append(result)
            on_image()
    if thumbnails:
        with suppress(OSError):  # a cache that cannot be written costs time only
            write_json(_decodable_path(), {"sha256": sorted(decodable | thumbnails.keys())})
    _require_classes(folders, images, faults)
    classes = [folder.name for folder in folders]
    return ImageFolder({"": root}, classes, images, faults, thumbnails)


def _decodable_path() -> Path:
    """Contents that Pillow decoded to the last byte; another version may not."""
    return cache_folder() / "decodable" / f"pillow-{PIL.__version__}.json"


def _read_decodable() -> set[str]:
    try:
        return set(json.loads(_decodable_path().read_text())["sha256"])
    except OSError:
        return set()


def _refuse_split(root: Path, folders: Sequence[Path]) -> None:
    """DataError for train/ and val/, which would be taken for classes."""
    names = [folder.name for folder in folders]
    if names and all(name.lower() in SPLIT_NAMES for name in names):
        raise DataError(
            f"{root} looks like a ready-made split.",
            "Expected one sub-folder per class, e.g. Negative/ and Positive/; "
            f"found {', '.join(f'{name}/' for name in names)}.",
            f"use {folders[0]}, which is then split into train, validation and test, or put all "
            "images of a class into one folder.",
        )


def _require_classes(
    folders: Sequence[Path], images: Sequence[LabelledImage], faults: Sequence[Fault]
) -> None:
    counts = Counter(image.label for image in images)
    for folder in folders:
        if not counts[folder.name]:
            first = next(f for f in faults if f.file.startswith(f"{folder.name}/"))
            raise DataError(
                f"no image of class {folder.name} can be read.",
                f"Expected JPEG, PNG or BMP files; {first.file}: {first.reason}.",
                f"convert the images of {folder.name}, or move the folder away.",
            )


def _files(folder: Path) -> list[Path]:
    """Image files below a class folder, by suffix, sorted; with dead links, without pipes."""
    known = SUFFIXES | OTHER_IMAGES
    paths: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        # .ipynb_checkpoints and __MACOSX repeat the images next to them.
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        found = (Path(parent, name) for name in names)
        paths += (p for p in found if p.suffix.lower() in known)
    return sorted(path for path in paths if path.is_file() or not path.exists())


def _refuse(error: OSError) -> None:
    raise error


def _inspect(
    root: Path, path: Path, decodable: set[str], thumbnails: dict[str, NDArray[np.uint8]]
) -> LabelledImage | Fault:
    """Labels an image that can be decoded, and keeps its thumbnail if it was decoded for that."""
    relative = path.relative_to(root)
    readable = relative.as_posix().encode("utf-8", "backslashreplace").decode()
    if readable != relative.as_posix():
        return Fault(readable, "its name is not UTF-8")
    if path.suffix.lower() in OTHER_IMAGES:
        return Fault(relative.as_posix(), "not a JPEG, PNG or BMP image")
    try:
        digest = file_sha256(path)
        if digest not in decodable:
            thumbnails[digest] = thumbnail(decode_image(path))
    except UnreadableImageError as error:
        return Fault(relative.as_posix(), str(error))
    except OSError as error:
        return Fault(relative.as_posix(), f"unreadable: {error.strerror}")
    return LabelledImage(relative.as_posix(), relative.parts[0], digest)


def _too_few_classes(root: Path, folders: Sequence[Path]) -> tuple[str, str, str]:
    hint = "give another folder, or none to use the built-in sample."
    layout = "Expected one sub-folder per class, e.g. Negative/ and Positive/"
    if not root.exists():
        return f"no folder {root}.", f"{layout}; the folder does not exist.", hint
    if not root.is_dir():
        return f"{root} is not a folder.", f"{layout}; found a file.", hint
    if folders:
        found = f"found images only in {folders[0].name}/"
        return f"only one class in {root}.", f"{layout}; {found}.", hint
    entries = list(root.iterdir())
    directories = sum(entry.is_dir() for entry in entries)
    found = f"found {len(entries) - directories} files and {directories} folders without images"
    if loose_images(root):
        hint = f"move the images into one sub-folder per class of {root}."
    return f"no class folders in {root}.", f"{layout}; {found}.", hint
