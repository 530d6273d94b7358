"""What a worker does: a process on this machine or another, which has one job at a time.

Ray imports this module before the worker has its number of threads, so TensorFlow is imported
within `open`.
"""

import os
import socket
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from concrete_study.datasets.decoding import limit_pixels
from concrete_study.datasets.loading import StudyData
from concrete_study.datasets.progress import SILENT
from concrete_study.results.records import SearchOptions, StudyRecord, TrialRecord

if TYPE_CHECKING:
    from concrete_study.models.feature_shards import Shard
    from concrete_study.search.preparation import FeatureSources, Preparation
    from concrete_study.search.trial_run import TrialResult


class SearchTask(NamedTuple):
    """All that a worker has to know of a search."""

    options: SearchOptions
    data: StudyData
    manifest: StudyRecord  # precision and class weights are those of the driver
    threads: int
    marker: str  # name of a file in the driver's folder of features


class Opened(NamedTuple):
    """A worker that is ready."""

    node: str  # host name
    process: int
    shares: bool  # whether it reads and writes the driver's features


class ShardTask(NamedTuple):
    """A shard of the features of one subset."""

    size: int  # of the images, in pixels
    subset: int  # 0: training images, 1: validation images
    shard: "Shard"


def marker_folder(prepared: "Preparation") -> Path:
    """One folder of the search's features; of another kind of device, it is another."""
    return prepared.stores[prepared.sizes[0]][0].folder


class TrialWorker:
    """Holds the network and the features of a search, and runs its trials."""

    _prepared: "Preparation"

    def open(self, task: SearchTask) -> Opened:
        """Builds the network; computes all features if this node does not share the driver's.

        Raises:
            StudyError: If weights or images cannot be read on this node.
        """
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        from concrete_study.models.devices import memory_errors, prepare_devices, set_threads

        set_threads(task.threads)

        from concrete_study.models.backbone import load_weights
        from concrete_study.search.preparation import Preparation

        limit_pixels(task.options.max_megapixels)
        with memory_errors():
            self._prepared = Preparation(
                task.options,
                task.data,
                load_weights(task.options.weights, seed=task.options.seed),
                devices=prepare_devices(),
                earlier=task.manifest,
                records=(),
                began=time.monotonic(),
            )
            shares = (marker_folder(self._prepared) / task.marker).exists()
            if not shares:
                _ = self._features
        return Opened(socket.gethostname(), os.getpid(), shares)

    @cached_property
    def _features(self) -> "FeatureSources":
        """Of all images; what is missing on this node is computed, once for all its workers."""
        return self._prepared.compute_features(SILENT)

    def compute(self, task: ShardTask) -> None:
        """Computes a shard of features; `open` comes first."""
        from concrete_study.models.devices import memory_errors
        from concrete_study.models.feature_shards import write_shard

        with memory_errors():
            write_shard(self._prepared.stores[task.size][task.subset], task.shard)

    def run(self, requested: TrialRecord) -> "TrialResult":
        """Runs one trial; see `run_trial`. `open` comes first."""
        from concrete_study.models.devices import memory_errors
        from concrete_study.search.trial_run import run_trial

        with memory_errors():
            return run_trial(self._prepared, self._features, requested)
