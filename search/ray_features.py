"""The feature pass on Ray workers: each computes shards of a view, this process joins them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from concrete_study.datasets.batches import View
from concrete_study.datasets.errors import ResourceError
from concrete_study.models.feature_shards import join_shards, missing_shards
from concrete_study.models.features import FeatureStore
from concrete_study.search.preparation import Preparation
from concrete_study.search.progress import SearchProgress
from concrete_study.search.ray_worker import ShardTask, marker_folder
from concrete_study.search.ray_workers import Job, Lost, RayWorkers


@contextmanager
def shared_marker(prepared: Preparation) -> Iterator[str]:
    """Yields the name of a file by which workers see that they share the folder of features."""
    folder = marker_folder(prepared)
    folder.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=folder, prefix=".shared-") as file:
        yield Path(file.name).name


def compute_shared(workers: RayWorkers, prepared: Preparation, progress: SearchProgress) -> None:
    """Computes missing features on the workers that share the folder of features.

    Workers on other nodes compute theirs when they are opened. If all are such, nothing is
    computed here: this process does not need features.

    Raises:
        StudyError: If an image cannot be read, the disk is full, or three workers are lost
            with one shard.
    """
    for size, stores in prepared.stores.items():
        for number, (store, views) in enumerate(zip(stores, prepared.views, strict=True)):
            store.remove_damaged(views, progress.counting, log=progress.log)
            if any(map(store.missing, views)):
                with store.locked():
                    _compute(workers, store, views, progress, task=(size, number))


def _compute(
    workers: RayWorkers,
    store: FeatureStore,
    views: Sequence[View],
    progress: SearchProgress,
    *,
    task: tuple[int, int],
) -> None:
    shards = {view: found for view in views if (found := missing_shards(store, view))}
    left = {view: len(found) for view, found in shards.items()}
    jobs = iter([_job(store, ShardTask(*task, s)) for found in shards.values() for s in found])
    subset, total = store.subset, len(store.subset) * len(shards)
    with progress.counting(f"features of {subset.name} at {store.size} pixels", total) as done:
        while any(left.values()) and workers.may_share():
            workers.assign(lambda: next(jobs, None), shared=True)
            for job, value in workers.collect():
                if isinstance(value, Lost):
                    raise ResourceError(
                        f"{job.name}: {value.message}.",
                        "Expected enough memory for a batch on each worker.",
                        "fewer workers; a search can be resumed.",
                    )
                shard = job.argument.shard
                left[shard.view] -= 1
                if not left[shard.view]:
                    join_shards(store, shards[shard.view])
                done(shard.stop - shard.start)
    workers.again.clear()


def _job(store: FeatureStore, task: ShardTask) -> Job:
    _, _, shard = task
    name = (
        f"Features of {store.subset.name} at {store.size} pixels, view {shard.view}, images "
        f"{shard.start} to {shard.stop - 1}"
    )
    return Job(name, task, "compute", task)
