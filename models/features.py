"""Frozen features: the base's answers, computed once per image and view, kept on disk.

A folder `features/<key>/` in the user's cache holds one array per view and feature_layer,
`view-0.block4_pool.npy`, float16, one row per image. The key is a hash of all that the
numbers depend on, so another study on the same images finds them, and a change of anything
makes a new folder. A file is there whole or not at all; an interrupted pass goes on with
the first view that is missing.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from io import FileIO
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from filelock import FileLock
from numpy.lib import format as npy
from numpy.typing import NDArray

from concrete_study.datasets.augmentation import AUGMENTATION
from concrete_study.datasets.batches import Subset, image_batches
from concrete_study.datasets.errors import ResourceError
from concrete_study.datasets.files import cache_folder, replacing, write_json
from concrete_study.models.devices import device_kind
from concrete_study.models.network import BLOCK5_FEATURE_LAYERS, FEATURE_LAYERS, feature_shape
from concrete_study.models.trainable import Network

# Raise when the same inputs would give other numbers (decoding, resizing, network).
FEATURES_VERSION = 1
LARGEST = np.finfo(np.float16).max
BATCH_SIZE = 32
GIGABYTE = 1e9
# What is counted and how many there are; the context's value takes how many were done.
Counting = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


class FeaturePlan(NamedTuple):
    """Which features a study keeps on disk."""

    feature_layers: tuple[str, ...]  # what is cached; trials compute the rest live, batch by batch
    views: int  # training views; validation has the plain image alone
    bytes: int
    reason: str  # empty when everything fits as asked


def feature_folder() -> Path:
    """Where all features are kept."""
    return cache_folder() / "features"


def image_bytes(feature_layers: Sequence[str], size: int) -> int:
    """Bytes of one image's float16 features at all the feature_layers together."""
    return sum(
        2 * int(np.prod(feature_shape(feature_layer, size))) for feature_layer in feature_layers
    )


def plan_features(
    feature_layers: Sequence[str],
    *,
    train: int,
    validation: int,
    size: int,
    views: int,
    budget_gb: float,
) -> FeaturePlan:
    """Fits features into a budget.

    What the budget has no room for is given up in this order: feature_layers within block 5, as
    those
    below them are enough to compute them from; views; the lowest feature_layer, computed live.


    Args:
        feature_layers: What the space needs; `image` is never cached: nothing below is frozen.
        train: Training images.
        validation: Validation images.
        size: Height and width of the images in pixels.
        views: Views asked for, at least 1.
        budget_gb: Gigabytes (1e9 bytes) on disk, at least 0.
    """
    kept = sorted(
        {feature_layer for feature_layer in feature_layers if feature_layer != "image"},
        key=FEATURE_LAYERS.index,
    )
    live: list[str] = []
    while spare := [
        feature_layer for feature_layer in kept if feature_layer in BLOCK5_FEATURE_LAYERS
    ][-2:-1]:
        if (train * views + validation) * image_bytes(kept, size) <= budget_gb * GIGABYTE:
            break
        kept.remove(*spare)
    while kept:
        row = image_bytes(kept, size)
        fitting = int((budget_gb * GIGABYTE - validation * row) // (train * row))
        if fitting >= 1:
            chosen = min(views, fitting)
            return FeaturePlan(
                tuple(kept),
                chosen,
                (train * chosen + validation) * row,
                _reason(live, chosen, views, budget_gb),
            )
        live.append(kept.pop())
    return FeaturePlan((), views, 0, _reason(live, views, views, budget_gb))


def _reason(live: Sequence[str], chosen: int, views: int, budget_gb: float) -> str:
    parts = []
    if live:
        parts.append(f"one view of {', '.join(live)} does not fit and is computed live")
    if chosen < views:
        parts.append(f"{chosen} of {views} views fit")
    return f"--cache-gb {budget_gb:g}: {'; '.join(parts)}" if parts else ""


class FeatureStore:
    """Features of one subset, computed where missing, read row by row.

    Args:
        network: Whose frozen part is computed.
        subset: The images.
        feature_layers: Where features are taken.
    """

    def __init__(self, network: Network, subset: Subset, feature_layers: Sequence[str]) -> None:
        self.network = network
        self.subset = subset
        self.feature_layers = tuple(feature_layers)
        self.key = {
            "version": FEATURES_VERSION,
            "augmentation": AUGMENTATION,
            "weights": network.weights.sha256,
            "precision": network.precision.name,
            "device": device_kind(),
            "size": network.size,
            "subset": subset.name,
            "images": subset.digests,
        }
        digest = hashlib.sha256(json.dumps(self.key).encode()).hexdigest()
        self.folder = feature_folder() / digest[:32]

    def path(self, view: int, feature_layer: str) -> Path:
        """Where one view's features at one feature_layer are kept."""
        return self.folder / f"view-{view}.{feature_layer}.npy"

    def missing(self, view: int) -> list[str]:
        """Cuts of a view that have still to be computed."""
        return [
            feature_layer
            for feature_layer in self.feature_layers
            if not self.path(view, feature_layer).exists()
        ]

    def rows(self, view: int, feature_layer: str, order: NDArray[np.int64]) -> NDArray[np.float16]:
        """Reads the features of some images: (images, *feature_layer shape)."""
        rows = np.empty((len(order), *feature_shape(feature_layer, self.network.size)), np.float16)
        # Not mapped: a map's pages count as this process's memory, up to all features there are.
        with self._opened(view, feature_layer) as file:
            for row, number in zip(rows, order, strict=True):
                file.seek((int(number) - len(self.subset)) * row.nbytes, os.SEEK_END)
                file.readinto(row)
        return rows

    def _opened(self, view: int, feature_layer: str) -> FileIO:
        try:
            return self.path(view, feature_layer).open("rb", buffering=0)
        except FileNotFoundError as error:
            raise ResourceError(
                "the stored features have gone.",
                f"Expected {error.filename}; the cache was cleared since it was written.",
                "the same command again, a search with --resume.",
            ) from error

    def compute(self, view: int, *, on_images: Callable[[int], None] = lambda n: None) -> None:
        """Computes what is missing of one view in one pass over the images.

        Args:
            view: 0 is the plain image.
            on_images: Called with the number of images after each batch.

        Raises:
            ResourceError: If the disk has no room; what was whole before stays.
            DataError: If an image can no longer be read.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        # Another study on the same images waits here, and then finds the features made.
        with FileLock(self.folder / ".lock"):
            if feature_layers := self.missing(view):
                for left_by_a_kill in self.folder.glob(".view-*"):
                    left_by_a_kill.unlink()
                self._write(view, feature_layers, on_images)

    def _write(
        self, view: int, feature_layers: Sequence[str], on_images: Callable[[int], None]
    ) -> None:
        self._require_room(feature_layers)
        lower = self.network.frozen_part(tuple(feature_layers))
        try:
            if not (self.folder / "key.json").exists():
                write_json(self.folder / "key.json", self.key)
            with ExitStack() as stack:
                files = [
                    self._new_file(stack, view, feature_layer) for feature_layer in feature_layers
                ]
                for images, _ in image_batches(
                    self.subset, size=self.network.size, batch_size=BATCH_SIZE, view=view
                ):
                    for file, features in zip(files, lower(images), strict=True):
                        # Written, not mapped: a full disk is an error here, not a SIGBUS.
                        file.write(_as_float16(features.numpy()).tobytes())
                    on_images(len(images))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise self._no_room(feature_layers, "the disk became full") from error

    def compute_all(self, views: int, counting: Counting) -> None:
        """Computes what is missing of views 0 to `views` - 1, counting images if any is."""
        missing = [view for view in range(views) if self.missing(view)]
        if missing:
            total = len(self.subset) * len(missing)
            with counting(f"features of {self.subset.name}", total) as done:
                for view in missing:
                    self.compute(view, on_images=done)

    def _new_file(self, stack: ExitStack, view: int, feature_layer: str) -> IO[bytes]:
        temporary = stack.enter_context(replacing(self.path(view, feature_layer)))
        file = stack.enter_context(temporary.open("wb"))
        shape = (len(self.subset), *feature_shape(feature_layer, self.network.size))
        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(file, header)
        return file

    def _require_room(self, feature_layers: Sequence[str]) -> None:
        needed = len(self.subset) * image_bytes(feature_layers, self.network.size)
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise self._no_room(feature_layers, f"{free / GIGABYTE:.2f} GB are free")

    def _no_room(self, feature_layers: Sequence[str], received: str) -> ResourceError:
        needed = len(self.subset) * image_bytes(feature_layers, self.network.size)
        return ResourceError(
            f"no space left for features in {self.folder.parent}.",
            f"Expected {needed / GIGABYTE:.2f} GB for the next view; {received}.",
            "a smaller --cache-gb, or set STUDY_CACHE_DIR to a larger disk.",
        )


def _as_float16(features: NDArray[np.floating]) -> NDArray[np.float16]:
    """Rounds to float16; what would overflow to infinity becomes the largest number."""
    return np.minimum(features.astype(np.float32), LARGEST).astype(np.float16)
