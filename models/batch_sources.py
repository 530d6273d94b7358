"""Where the recipe's batches come from: stored features, or images through the frozen backbone.

Both give the same features, so the code that trains a trial on stored features is the code that
retrains the best trial on images.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from concrete_study.datasets.batches import Subset, image_batches, join
from concrete_study.models.features import FeatureStore
from concrete_study.models.network import nearest_feature_layer
from concrete_study.models.steps import Features
from concrete_study.models.trainable import Network

Batch = tuple[Features, NDArray[np.int32]]
UNAUGMENTED = 0  # the epoch number that stands for unaugmented images: validation and test


class BatchSource(Protocol):
    """Labelled features of one subset at any feature layers."""

    subset: Subset

    def batches(
        self, layers: tuple[str, ...], *, epoch: int, order: NDArray[np.int64], batch_size: int
    ) -> Iterator[Batch]:
        """Yields every image once.

        Args:
            layers: The feature layers, in the order of the features.
            epoch: Decides the augmented view; counts from 1, 0 is unaugmented.
            order: Indices into the subset.
            batch_size: At least 1; the last batch may be smaller.
        """
        ...


class ImageSource:
    """Decodes and augments images and runs the frozen backbone for every batch.

    Args:
        network: Its frozen backbone is used.
        subset: The images.
        size: Their height and width in pixels.
        views: The number of augmented views that epochs cycle through; None makes a new view in
            every epoch.
    """

    def __init__(
        self,
        network: Network,
        subset: Subset,
        *,
        size: int,
        views: int | None = None,
        shift: str | None = None,
    ) -> None:
        self.network = network
        self.subset = subset
        self.size = size
        self.views = views
        self.shift = shift

    def batches(
        self, layers: tuple[str, ...], *, epoch: int, order: NDArray[np.int64], batch_size: int
    ) -> Iterator[Batch]:
        """See `BatchSource`; never holds more than a few batches."""
        frozen = self.network.frozen_backbone(layers, divided=True)
        view = self.shift or view_of(epoch, self.views)
        for images, labels in image_batches(
            self.subset, size=self.size, batch_size=batch_size, view=view, order=order
        ):
            yield frozen(images), labels


class FeatureSource:
    """Reads stored features; at other layers features are computed batch by batch.

    They are computed from the nearest stored feature layer below, or else from the images.

    Args:
        store: Has the features of views 0 to `views` - 1.
        views: The number of views.
        shift: The shift that unaugmented images have; None for none.
    """

    def __init__(self, store: FeatureStore, views: int, *, shift: str | None = None) -> None:
        self.store = store
        self.shift = shift
        self.subset = store.subset
        self.views = views
        self._images = ImageSource(
            store.network, store.subset, size=store.size, views=views, shift=shift
        )

    def batches(
        self, layers: tuple[str, ...], *, epoch: int, order: NDArray[np.int64], batch_size: int
    ) -> Iterator[Batch]:
        """See `BatchSource`; only one batch is in memory."""
        stored = {
            layer: nearest_feature_layer(layer, self.store.feature_layers) for layer in layers
        }
        if "image" in stored.values():
            yield from self._images.batches(layers, epoch=epoch, order=order, batch_size=batch_size)
            return
        view = self.shift or view_of(epoch, self.views)
        between = {
            layer: self.store.network.frozen_backbone((layer,), start)
            for layer, start in stored.items()
            if start != layer
        }
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            features = {
                layer: self.store.rows(view, start, rows) for layer, start in stored.items()
            }
            yield (
                tuple(
                    between[layer](given)[0] if layer in between else given
                    for layer, given in features.items()
                ),
                self.subset.labels[rows],
            )


class JoinedSource:
    """Several sources as one; indices count through all of them.

    Args:
        sources: At least one.
    """

    def __init__(self, sources: Sequence[BatchSource]) -> None:
        self._sources = list(sources)
        self._ends = np.cumsum([len(source.subset) for source in sources])
        self.subset = join([source.subset for source in sources])

    def batches(
        self, layers: tuple[str, ...], *, epoch: int, order: NDArray[np.int64], batch_size: int
    ) -> Iterator[Batch]:
        """See `BatchSource`."""
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            of_source = np.searchsorted(self._ends, rows, side="right")
            parts: list[Batch] = []
            positions: list[NDArray[np.int64]] = []
            for number, source in enumerate(self._sources):
                if len(own := np.flatnonzero(of_source == number)):
                    start = self._ends[number] - len(source.subset)
                    parts += source.batches(
                        layers, epoch=epoch, order=rows[own] - start, batch_size=len(own)
                    )
                    positions.append(own)
            back = np.argsort(np.concatenate(positions))
            columns = zip(*(features for features, _ in parts), strict=True)
            yield (
                tuple(np.concatenate(column)[back] for column in columns),
                self.subset.labels[rows],
            )


class PartSource:
    """Some images of another source.

    Args:
        source: Where the batches come from.
        rows: Indices into its subset.
    """

    def __init__(self, source: BatchSource, rows: NDArray[np.int64]) -> None:
        self._source, self._rows = source, rows
        self.subset = source.subset.select(rows)

    def batches(
        self, layers: tuple[str, ...], *, epoch: int, order: NDArray[np.int64], batch_size: int
    ) -> Iterator[Batch]:
        """See `BatchSource`."""
        return self._source.batches(
            layers, epoch=epoch, order=self._rows[order], batch_size=batch_size
        )


class CountedSource:
    """Another source that reports its number of images to a callback.

    Args:
        source: Where the batches come from.
        on_images: Called with the number of images after each batch.
    """

    def __init__(self, source: BatchSource, on_images: Callable[[int], None]) -> None:
        self._source, self._on_images = source, on_images
        self.subset = source.subset

    def batches(
        self, layers: tuple[str, ...], *, epoch: int, order: NDArray[np.int64], batch_size: int
    ) -> Iterator[Batch]:
        """See `BatchSource`."""
        for features, labels in self._source.batches(
            layers, epoch=epoch, order=order, batch_size=batch_size
        ):
            yield features, labels
            self._on_images(len(labels))


def view_of(epoch: int, views: int | None) -> int:
    """The augmented view of an epoch: 0 is unaugmented; epochs cycle through `views`."""
    if epoch == UNAUGMENTED:
        return 0
    return epoch if views is None else (epoch - 1) % views
