"""Shards: frozen features of a part of a view's images, computed by one of several processes.

The processes share the folder of features. Each shard is written atomically, so one of a lost
process is complete or missing; together they are bit for bit the file of one process.
"""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from concrete_study.datasets.batches import View
from concrete_study.datasets.files import replacing
from concrete_study.models.features import BATCH_SIZE, FeatureStore

SHARD_IMAGES = 4 * BATCH_SIZE  # whole batches; 16 s of two cores at 224 pixels


class Shard(NamedTuple):
    """Some images of a view, at the layers that are missing."""

    view: View
    layers: tuple[str, ...]
    start: int
    stop: int


def missing_shards(store: FeatureStore, view: View) -> list[Shard]:
    """The shards of a view at its missing layers, in the order of the images."""
    if not (layers := tuple(store.missing(view))):
        return []
    images = len(store.subset)
    return [
        Shard(view, layers, start, min(start + SHARD_IMAGES, images))
        for start in range(0, images, SHARD_IMAGES)
    ]


def write_shard(store: FeatureStore, shard: Shard) -> None:
    """Computes a shard and writes a file for each layer.

    Raises:
        ResourceError: If the disk is full.
        DataError: If an image can no longer be read.
    """
    view, layers = shard.view, shard.layers
    with store.full_disk(layers), ExitStack() as stack:
        paths = [stack.enter_context(replacing(_path(store, shard, layer))) for layer in layers]
        files = [stack.enter_context(path.open("wb")) for path in paths]
        store.append(files, view, layers, rows=range(shard.start, shard.stop))


def join_shards(store: FeatureStore, shards: Sequence[Shard]) -> None:
    """Joins all shards of a view, in the order of the images, and removes them.

    Raises:
        ResourceError: If the disk is full.
    """
    view, layers, *_ = shards[0]
    with store.writing(view, layers) as files:
        for shard in shards:
            for file, layer in zip(files, layers, strict=True):
                path = _path(store, shard, layer)
                with path.open("rb") as part:
                    shutil.copyfileobj(part, file)
                path.unlink()


def _path(store: FeatureStore, shard: Shard, layer: str) -> Path:
    """Among the leftovers that `FeatureStore.locked` removes after a kill."""
    name = store.path(shard.view, layer).name
    return store.folder / f".{name}.{shard.start}-{shard.stop}"
