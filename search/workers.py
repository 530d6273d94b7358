"""Where trials run: in this process, or in workers on this machine or a cluster (Ray)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from concrete_study.models.devices import count_gpus
from concrete_study.results.records import TrialRecord
from concrete_study.search.cost import Workforce
from concrete_study.search.manifest import Manifest
from concrete_study.search.preparation import FeatureSources, Preparation
from concrete_study.search.progress import SearchProgress
from concrete_study.search.trial_run import TrialResult, run_trial
from concrete_study.search.worker_options import WorkerOptions


def workforce_of(options: WorkerOptions) -> Workforce:
    """The workers of a search, for its estimated time; a cluster is asked for its size.

    A step on a part of the CPUs is taken to last longer by that part, and all CPUs to be as fast
    as this machine's.
    """
    if not options.is_distributed:
        return Workforce()
    from concrete_study.search.ray_connection import available_cpus, expected_share

    workers, share = expected_share(options, count_gpus())
    slowdown = 1 / share.gpus if share.gpus else available_cpus() / share.cpus
    return Workforce(workers, max(slowdown, 1.0))


class TrialPool(Protocol):
    """Runs trials, in the order that it chooses."""

    def has(self, requested: TrialRecord) -> bool:
        """Whether a trial's result is there already."""
        ...

    def result(self, requested: TrialRecord) -> TrialResult:
        """Returns a trial's result, and waits for it if necessary.

        Raises:
            StudyError: If the trial, or any that runs ahead of it, cannot be run.
        """
        ...


class ThisProcess:
    """Runs each trial when it is requested.

    Args:
        prepared: Of the search.
        features: Of all images.
        progress: Receives each epoch.
        on_step: Called between epochs; an exception ends the search.
    """

    def __init__(
        self,
        prepared: Preparation,
        features: FeatureSources,
        progress: SearchProgress,
        on_step: Callable[[], None],
    ) -> None:
        self._prepared, self._features = prepared, features
        self._progress, self._on_step = progress, on_step

    def has(self, requested: TrialRecord) -> bool:
        """See `TrialPool`."""
        return False

    def result(self, requested: TrialRecord) -> TrialResult:
        """See `TrialPool`."""
        return run_trial(
            self._prepared,
            self._features,
            requested,
            on_epoch=self._progress.epoch_done,
            on_step=self._on_step,
        )


@contextmanager
def open_pool(
    options: WorkerOptions,
    prepared: Preparation,
    *,
    manifest: Manifest,
    progress: SearchProgress,
    on_step: Callable[[], None],
) -> Iterator[TrialPool]:
    """Starts the workers, computes missing features, and stops the workers at the block's end.

    Args:
        options: Where trials run.
        prepared: Of the search.
        manifest: Records workers and nodes.
        progress: Receives epochs, or the events of workers.
        on_step: Called between epochs or while waiting for trials; an exception ends the search.

    Raises:
        StudyError: If there is no cluster at the address, or features cannot be computed.
    """
    if not options.is_distributed:
        yield ThisProcess(prepared, prepared.compute_features(progress), progress, on_step)
        return
    # Only here: they need the extra `cluster`.
    from concrete_study.search import ray_worker
    from concrete_study.search.ray_connection import connected
    from concrete_study.search.ray_features import compute_shared, shared_marker
    from concrete_study.search.ray_pool import RayPool
    from concrete_study.search.ray_workers import RayWorkers

    with connected(options) as share, shared_marker(prepared) as marker:
        task = ray_worker.SearchTask(
            prepared.options, prepared.data, manifest.content, share.threads, marker
        )
        workers = RayWorkers(
            ray_worker.TrialWorker, task, share, progress=progress, on_worker=manifest.add_worker
        )
        stored = {record.trial: record for record in prepared.records}
        try:
            compute_shared(workers, prepared, progress)
            yield RayPool(
                workers, prepared.options, stored=stored, progress=progress, on_step=on_step
            )
        finally:
            workers.close()
