"""Frozen features: the backbone's outputs, computed once per image and view, kept on disk.

A folder `features/<key>/` in the user's cache holds one float16 array per view and feature layer,
`view-0.block4_pool.npy`, one row per image. The key is a hash of everything that the numbers
depend on, so another study on the same images finds them, and any change leads to a new folder. A
file is written atomically; after an interruption the first missing view is computed next.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from io import FileIO
from pathlib import Path
from typing import IO

import numpy as np
from filelock import FileLock
from numpy.lib import format as npy
from numpy.typing import NDArray

from concrete_study.datasets.augmentation import AUGMENTATION
from concrete_study.datasets.batches import Subset, View, image_batches
from concrete_study.datasets.cache import (
    has_checksum,
    is_intact,
    is_verified,
    replacing_with_checksum,
)
from concrete_study.datasets.errors import ResourceError
from concrete_study.datasets.files import cache_folder, write_json
from concrete_study.datasets.shifts import SHIFTS_VERSION
from concrete_study.models.devices import device_kind
from concrete_study.models.feature_plan import GIGABYTE, image_bytes
from concrete_study.models.network import feature_shape
from concrete_study.models.trainable import Network

# Raise it when the same inputs give other numbers (decoding, resizing, network).
FEATURES_VERSION = 1
LARGEST = np.finfo(np.float16).max
BATCH_SIZE = 32
# From a description and a total to a context whose value is called with the progress.
Counting = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


def feature_folder() -> Path:
    """The folder of all stored features."""
    return cache_folder() / "features"


class FeatureStore:
    """Features of one subset, computed where missing, read row by row.

    Args:
        network: Its frozen backbone computes the features.
        subset: The images.
        layers: The feature layers.
        size: Height and width of the images in pixels.
    """

    def __init__(
        self, network: Network, subset: Subset, layers: Sequence[str], *, size: int
    ) -> None:
        self.network = network
        self.subset = subset
        self.size = size
        self.feature_layers = tuple(layers)
        self.key = {
            "version": FEATURES_VERSION,
            "augmentation": AUGMENTATION,
            "shifts": SHIFTS_VERSION,
            "weights": network.weights.sha256,
            "precision": network.precision.name,
            # Not `CPU`: another value would make all stored features unfindable.
            "device": {"CPU": "processor"}.get(device_kind(), "GPU"),
            "size": size,
            "subset": subset.name,
            "images": subset.digests,
        }
        digest = hashlib.sha256(json.dumps(self.key).encode()).hexdigest()
        self.folder = feature_folder() / digest[:32]

    def path(self, view: View, layer: str) -> Path:
        """The file of one view's features at one layer."""
        return self.folder / f"view-{view}.{layer}.npy"

    def missing(self, view: View) -> list[str]:
        """The layers at which a view's features are not stored."""
        return [layer for layer in self.feature_layers if not has_checksum(self.path(view, layer))]

    def rows(self, view: View, layer: str, order: NDArray[np.int64]) -> NDArray[np.float16]:
        """Reads the features of some images: shape (images, *feature_shape(layer))."""
        rows = np.empty((len(order), *feature_shape(layer, self.size)), np.float16)
        # Not memory-mapped: the pages would count as this process's memory, up to all features.
        with self._opened(view, layer) as file:
            for row, number in zip(rows, order, strict=True):
                file.seek((int(number) - len(self.subset)) * row.nbytes, os.SEEK_END)
                file.readinto(row)
        return rows

    def _opened(self, view: View, layer: str) -> FileIO:
        path = self.path(view, layer)
        try:
            if not is_intact(path):  # read for the first time, in a worker process
                raise ResourceError(
                    "the stored features are damaged.",
                    f"Expected {path} to have the content of its checksum.",
                    "run it again; a search can be resumed.",
                )
            return path.open("rb", buffering=0)
        except FileNotFoundError as error:
            raise ResourceError(
                "the stored features are missing.",
                f"Expected {error.filename}; the cache was cleared after it was written.",
                "run it again; a search can be resumed.",
            ) from error

    def compute(self, view: View, *, on_images: Callable[[int], None] = lambda n: None) -> None:
        """Computes the missing features of one view, with one forward pass per image.

        Args:
            view: Number of an augmented view, 0 being unaugmented, or name of a shift.
            on_images: Called with the number of images after each batch.

        Raises:
            ResourceError: If the disk is full; files that were complete before stay.
            DataError: If an image can no longer be read.
        """
        with self.locked():
            if layers := self.missing(view):
                with self.writing(view, layers) as files:
                    self.append(files, view, layers, rows=range(len(self.subset)), done=on_images)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps others from computing these features, and removes what killed processes left.

        Another study on the same images waits here, and then finds the features.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            try:
                self._remove_unfinished()
                yield
            finally:
                self._remove_unfinished()

    def _remove_unfinished(self) -> None:
        for file in self.folder.glob(".*view-*"):
            file.unlink(missing_ok=True)

    @contextmanager
    def writing(self, view: View, layers: Sequence[str]) -> Iterator[list[IO[bytes]]]:
        """Yields a file for each layer, which is complete and has its name when the block ends.

        Raises:
            ResourceError: If the disk is full, before or within the block.
        """
        self._ensure_room(layers)
        if not (self.folder / "key.json").exists():
            write_json(self.folder / "key.json", self.key)
        with self.full_disk(layers), ExitStack() as stack:
            yield [self._new_file(stack, view, layer) for layer in layers]

    def append(
        self,
        files: Sequence[IO[bytes]],
        view: View,
        layers: Sequence[str],
        *,
        rows: range,
        done: Callable[[int], None] = lambda n: None,
    ) -> None:
        """Computes the features of some images and appends them to a file for each layer.

        Args:
            files: One for each layer.
            view: As in `compute`.
            layers: The feature layers.
            rows: The images; in which batch an image is decides the last digits of its features,
                so a part of a view begins at a multiple of BATCH_SIZE.
            done: Called with the number of images after each batch.
        """
        frozen = self.network.frozen_backbone(tuple(layers))
        for images, _ in image_batches(
            self.subset, size=self.size, batch_size=BATCH_SIZE, view=view, order=np.array(rows)
        ):
            for file, features in zip(files, frozen(images), strict=True):
                # Not memory-mapped: a full disk is an error here, not a SIGBUS.
                file.write(_as_float16(features.numpy()).tobytes())
            done(len(images))

    def compute_all(
        self,
        views: Iterable[View],
        counting: Counting,
        *,
        log: Callable[[str], None] = lambda message: None,
    ) -> None:
        """Computes the missing and damaged features of some views and reports the progress."""
        views = list(views)
        self.remove_damaged(views, counting, log=log)
        missing = [view for view in views if self.missing(view)]
        if missing:
            total = len(self.subset) * len(missing)
            with counting(f"features of {self.subset.name} at {self.size} pixels", total) as done:
                for view in missing:
                    self.compute(view, on_images=done)

    def remove_damaged(
        self,
        views: Iterable[View],
        counting: Counting,
        *,
        log: Callable[[str], None] = lambda message: None,
    ) -> None:
        """Removes stored files that do not have the content of their checksum."""
        for path in self._damaged(views, counting):
            with self.locked():
                # Another process may have computed it again while this one waited.
                if path.exists() and not is_intact(path):
                    log(f"{path} is damaged and is computed again.")
                    path.unlink()

    def _damaged(self, views: Iterable[View], counting: Counting) -> list[Path]:
        """Stored files that do not have the content of their checksum."""
        paths = [self.path(view, layer) for view in views for layer in self.feature_layers]
        unread = [path for path in paths if has_checksum(path) and not is_verified(path)]
        description, total = f"checking features of {self.subset.name}", len(self.subset)
        if sum(path.stat().st_size for path in unread) < GIGABYTE:  # about a second
            return [path for path in unread if not is_intact(path)]
        damaged = []
        with counting(description, total * len(unread)) as done:
            for path in unread:
                damaged += [] if is_intact(path) else [path]
                done(total)
        return damaged

    def _new_file(self, stack: ExitStack, view: View, layer: str) -> IO[bytes]:
        temporary = stack.enter_context(replacing_with_checksum(self.path(view, layer)))
        file = stack.enter_context(temporary.open("wb"))
        shape = (len(self.subset), *feature_shape(layer, self.size))
        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(file, header)
        return file

    @contextmanager
    def full_disk(self, layers: Sequence[str]) -> Iterator[None]:
        """Turns the error of a full disk into a ResourceError."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise self._no_room(layers, "the disk became full") from error

    def _ensure_room(self, layers: Sequence[str]) -> None:
        needed = len(self.subset) * image_bytes(layers, self.size)
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise self._no_room(layers, f"{free / GIGABYTE:.2f} GB are free")

    def _no_room(self, layers: Sequence[str], received: str) -> ResourceError:
        needed = len(self.subset) * image_bytes(layers, self.size)
        return ResourceError(
            f"no space left for features in {self.folder.parent}.",
            f"Expected {needed / GIGABYTE:.2f} GB for the next view; {received}.",
            "a smaller feature cache, or set STUDY_CACHE_DIR to a folder on a larger disk.",
        )


def _as_float16(features: NDArray[np.floating]) -> NDArray[np.float16]:
    """Rounds to float16; larger numbers become its largest one, not infinity."""
    return np.minimum(features.astype(np.float32), LARGEST).astype(np.float16)
