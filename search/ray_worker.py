"""What a worker does: a process on this machine or another, which runs one trial at a time.

Ray imports this module before the worker has its number of threads, so TensorFlow is imported
within `open`.
"""

import os
import socket
import time
from typing import TYPE_CHECKING, NamedTuple

from concrete_study.datasets.decoding import limit_pixels
from concrete_study.datasets.loading import StudyData
from concrete_study.datasets.progress import SILENT
from concrete_study.results.records import SearchOptions, StudyRecord, TrialRecord

if TYPE_CHECKING:
    from concrete_study.search.preparation import FeatureSources, Preparation
    from concrete_study.search.trial_run import TrialResult


class SearchTask(NamedTuple):
    """All that a worker has to know of a search."""

    options: SearchOptions
    data: StudyData
    manifest: StudyRecord  # precision and class weights are those of the driver
    threads: int


class TrialWorker:
    """Holds the network and the features of a search, and runs its trials."""

    _prepared: "Preparation"
    _features: "FeatureSources"

    def open(self, task: SearchTask) -> tuple[str, int]:
        """Builds the network and computes the features that this node does not have.

        Returns:
            Host name and process number.

        Raises:
            StudyError: If weights or images cannot be read on this node.
        """
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(task.threads)
        tf.config.threading.set_inter_op_parallelism_threads(task.threads)

        from concrete_study.models.backbone import load_weights
        from concrete_study.models.devices import memory_errors, prepare_devices
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
            self._features = self._prepared.compute_features(SILENT)
        return socket.gethostname(), os.getpid()

    def run(self, requested: TrialRecord) -> "TrialResult":
        """Runs one trial; see `run_trial`. `open` comes first."""
        from concrete_study.models.devices import memory_errors
        from concrete_study.search.trial_run import run_trial

        with memory_errors():
            return run_trial(self._prepared, self._features, requested)
