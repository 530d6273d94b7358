"""Batches of images: decoded, resized, augmented and prefetched by `tf.data`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from concrete_study.datasets.augmentation import apply_transforms, view_transforms
from concrete_study.datasets.decoding import UnreadableImageError, decode_image
from concrete_study.datasets.errors import DataError
from concrete_study.datasets.folders import Roots, locate
from concrete_study.datasets.shifts import apply_shift
from concrete_study.datasets.splits import SplitRow

View: TypeAlias = int | str  # number of an augmented view, or name of a shift


@dataclass(frozen=True)
class Subset:
    """The images of one subset, in the order of `split.csv`."""

    name: str  # train, validation, test or external
    paths: list[Path]
    labels: NDArray[np.int32]  # (images,), index into `classes`
    digests: list[str]  # SHA-256 of each file
    classes: list[str]

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, count: int) -> "Subset":
        """The first `count` images."""
        return self.select(np.arange(min(count, len(self))))

    def select(self, rows: NDArray[np.int64]) -> "Subset":
        """The images of these numbers, in this order."""
        return Subset(
            self.name,
            [self.paths[row] for row in rows],
            self.labels[rows],
            [self.digests[row] for row in rows],
            self.classes,
        )


def subset_of(roots: Roots, rows: Sequence[SplitRow], name: str, classes: Sequence[str]) -> Subset:
    """Collects one subset of a split; labels are indices into `classes`."""
    chosen = [row for row in rows if row.subset == name]
    index = {label: number for number, label in enumerate(classes)}
    return Subset(
        name,
        [locate(roots, row.file) for row in chosen],
        np.array([index[row.label] for row in chosen], np.int32),
        [row.sha256 for row in chosen],
        list(classes),
    )


def join(subsets: Sequence[Subset]) -> Subset:
    """All images of several subsets, one subset after the other."""
    return Subset(
        "+".join(subset.name for subset in subsets),
        [path for subset in subsets for path in subset.paths],
        np.concatenate([subset.labels for subset in subsets]),
        [digest for subset in subsets for digest in subset.digests],
        subsets[0].classes,
    )


def image_batches(
    subset: Subset,
    *,
    size: int,
    batch_size: int,
    view: View = 0,
    order: NDArray[np.int64] | None = None,
) -> Iterator[tuple[tf.Tensor, NDArray[np.int32]]]:
    """Yields one pass over a subset; the next batches are prepared in the background.

    Args:
        subset: The images.
        size: Height and width in pixels.
        batch_size: At least 1; the last batch may be smaller.
        view: Number of the augmented view, 0 being unaugmented, or the name of a shift.
        order: Indices into the subset; by default its own order.

    Yields:
        Images of shape (batch, size, size, 3), float32 in 0..255, and labels (batch,).

    Raises:
        DataError: If a file can no longer be read.
        tf.errors.OpError: If TensorFlow itself fails, e.g. out of memory.
    """
    order = np.arange(len(subset)) if order is None else order
    start = 0
    try:
        for images in _prepared(subset, order, view=view, size=size, batch_size=batch_size):
            stop = start + len(images)
            yield images, subset.labels[order[start:stop]]
            start = stop
    except tf.errors.OpError as error:
        if (reason := _unreadable(error)) is None:
            raise
        raise DataError(
            "an image can no longer be read.",
            f"Expected the files of split.csv; received: {reason}.",
            "put the file back, or start a new study.",
        ) from error


def _prepared(
    subset: Subset, order: NDArray[np.int64], *, view: View, size: int, batch_size: int
) -> tf.data.Dataset:
    """Batches of float32 images, decoded in parallel and transformed a batch at a time."""
    augmented, shift = (0, view) if isinstance(view, str) else (view, None)
    digests = [subset.digests[i] for i in order]
    transforms = view_transforms(digests, augmented, size)
    files = [[str(subset.paths[i]), subset.digests[i]] for i in order]
    decode = _plain_graph(lambda file, transform: (_decoded(file, size, shift), transform))
    finish = apply_transforms if augmented else lambda images, _: tf.cast(images, tf.float32)
    return (
        tf.data.Dataset.from_tensor_slices((files, transforms))
        .map(decode, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size)
        .map(_plain_graph(finish))
        .prefetch(2)
    )


def _plain_graph(function: Callable[..., Any]) -> Callable[..., Any]:
    """Excludes a function from AutoGraph, which re-reads its source and leaves files behind."""
    plain: Callable[..., Any] = tf.autograph.experimental.do_not_convert(function)
    return plain


def _decoded(file: tf.Tensor, size: int, shift: str | None) -> tf.Tensor:
    """Pixels of a file, given by its path and the SHA-256 of its content."""

    def decode(path: bytes, digest: bytes) -> NDArray[np.uint8]:
        pixels = _decode_named(Path(path.decode()), size)
        return apply_shift(shift, pixels, digest.decode()) if shift else pixels

    pixels = tf.numpy_function(decode, [file[0], file[1]], tf.uint8, stateful=False)
    return tf.ensure_shape(pixels, (size, size, 3))


def _decode_named(path: Path, size: int) -> NDArray[np.uint8]:
    try:
        return decode_image(path, size)
    except UnreadableImageError as error:
        raise UnreadableImageError(f"{path}: {error}") from error


def _unreadable(error: tf.errors.OpError) -> str | None:
    """The message of our own exception inside TensorFlow's; None if there is none."""
    name = f"{UnreadableImageError.__name__}:"
    lines = [line for line in str(error.message).splitlines() if name in line]
    return lines[-1].partition(name)[2].strip() if lines else None
