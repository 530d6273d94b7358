"""Where the recipe's batches come from: stored features, or images through the frozen part.

Both answer the same question, so the code that trains a trial on features is the code that
retrains the best one on images.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from concrete_study.datasets.batches import Subset, image_batches
from concrete_study.models.features import FeatureStore
from concrete_study.models.network import nearest_feature_layer
from concrete_study.models.trainable import Features, Network

Batch = tuple[Features, NDArray[np.int32]]
PLAIN = 0  # the epoch whose view is the plain image: validation and test


class BatchSource(Protocol):
    """Labelled features of one subset at any feature_layer."""

    subset: Subset

    def batches(
        self, feature_layer: str, *, epoch: int, order: NDArray[np.int64], batch_size: int
    ) -> Iterator[Batch]:
        """Yields one pass in the given order; `epoch` counts from 1, 0 is the plain image."""
        ...


class ImageSource:
    """Decodes, augments and runs the frozen part for every batch.

    Args:
        network: Whose frozen part is run.
        subset: The images.
        views: After so many epochs the views repeat; None makes a fresh one every epoch.
    """

    def __init__(self, network: Network, subset: Subset, *, views: int | None = None) -> None:
        self.network = network
        self.subset = subset
        self.views = views

    def batches(
        self, feature_layer: str, *, epoch: int, order: NDArray[np.int64], batch_size: int
    ) -> Iterator[Batch]:
        """See `BatchSource`; never holds more than a few batches."""
        lower = self.network.frozen_part((feature_layer,))
        view = view_of(epoch, self.views)
        for images, labels in image_batches(
            self.subset, size=self.network.size, batch_size=batch_size, view=view, order=order
        ):
            yield lower(images)[0], labels


class FeatureSource:
    """Reads stored features; feature_layers that are not stored are computed live, batch by batch.

    They are computed from the nearest stored feature_layer below, or else from the same views.

    Args:
        store: Whose views 0 to `views` - 1 have been computed.
        views: How many views there are.
    """

    def __init__(self, store: FeatureStore, *, views: int) -> None:
        self.store = store
        self.subset = store.subset
        self.views = views
        self._live = ImageSource(store.network, store.subset, views=views)

    def batches(
        self, feature_layer: str, *, epoch: int, order: NDArray[np.int64], batch_size: int
    ) -> Iterator[Batch]:
        """See `BatchSource`; only the batch is in memory."""
        stored = nearest_feature_layer(feature_layer, self.store.feature_layers)
        if stored == "image":
            yield from self._live.batches(
                feature_layer, epoch=epoch, order=order, batch_size=batch_size
            )
            return
        view = view_of(epoch, self.views)
        between = (
            None
            if stored == feature_layer
            else self.store.network.frozen_part((feature_layer,), stored)
        )
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            features: Features = self.store.rows(view, stored, rows)
            yield between(features)[0] if between else features, self.subset.labels[rows]


class CountedSource:
    """Another source, telling how many images it has given.

    Args:
        source: Where the batches come from.
        on_images: Called with the number of images after each batch.
    """

    def __init__(self, source: BatchSource, on_images: Callable[[int], None]) -> None:
        self._source, self._on_images = source, on_images
        self.subset = source.subset

    def batches(
        self, feature_layer: str, *, epoch: int, order: NDArray[np.int64], batch_size: int
    ) -> Iterator[Batch]:
        """See `BatchSource`."""
        batches = self._source.batches(
            feature_layer, epoch=epoch, order=order, batch_size=batch_size
        )
        for features, labels in batches:
            yield features, labels
            self._on_images(len(labels))


def view_of(epoch: int, views: int | None) -> int:
    """The view an epoch sees: 0 is plain; epochs cycle through `views`, or never repeat."""
    if epoch == PLAIN:
        return 0
    return epoch if views is None else (epoch - 1) % views
