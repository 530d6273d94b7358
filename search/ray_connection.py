"""The connection to Ray, and the share of CPUs and GPUs that each worker has."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import ray
from ray._private import ray_constants

from concrete_study.datasets.errors import UsageError
from concrete_study.search.worker_options import WorkerOptions

# Ray's store holds one copy of the search's images by name, and results until they are read.
OBJECT_STORE_BYTES = 200_000_000
# On two CPUs, two processes of two threads each are faster than two of one: a single thread of
# TensorFlow made 47 GFLOPS there, and two made 119 (docs/decisions/029-workers.md).
LEAST_THREADS = 2


class Share(NamedTuple):
    """What each worker has."""

    workers: int | None  # None: as many as the cluster has room for
    cpus: float
    gpus: float

    @property
    def threads(self) -> int:
        """Threads of TensorFlow."""
        return max(LEAST_THREADS, int(self.cpus))


@contextmanager
def connected(options: WorkerOptions) -> Iterator[Share]:
    """Connects to a cluster, or starts Ray on the loopback address of this machine.

    A connection that this process has already is used, and stays open.

    Raises:
        UsageError: If there is no cluster at the address.
    """
    if ray.is_initialized():  # by the program that calls the Python API
        yield _share_of(options, ray.cluster_resources().get("GPU", 0.0))
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports each start
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    with _kept_signals():
        if options.cluster is None:
            # Ray's default, 15, leaves workers nearly without time while other programs run.
            os.environ.setdefault("RAY_worker_niceness", "0")
            with _loopback():
                ray.init(
                    address="local",  # not another cluster that runs here, or RAY_ADDRESS
                    num_cpus=_local_cpus(options),
                    include_dashboard=False,
                    object_store_memory=OBJECT_STORE_BYTES,
                    **quiet,
                )
        else:
            try:
                ray.init(address=options.cluster, **quiet)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise UsageError(
                    f"no Ray cluster answers at {options.cluster}.",
                    f"Expected host:port of its head node, or auto; received: {error}",
                    parameter="cluster",
                ) from error
    try:
        yield _share_of(options, ray.cluster_resources().get("GPU", 0.0))
    finally:
        ray.shutdown()


@contextmanager
def _loopback() -> Iterator[None]:
    """Makes Ray listen on the loopback address alone.

    Ray 2.60 replaces 127.0.0.1 by the address of the network, and then listens on all, except
    where this constant is false, as on macOS and Windows.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _kept_signals() -> Iterator[None]:
    """Restores the handler of SIGTERM, which Ray replaces by one that exits at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def expected_share(options: WorkerOptions, gpus: int) -> tuple[int, Share]:
    """The number of workers and the share of each, before any is started.

    Args:
        options: Of the workers; a cluster is asked for its size.
        gpus: Of this machine.
    """
    if options.cluster is None:
        share = _share_of(options, gpus)
        return share.workers or 1, share
    with connected(options) as share:
        return share.workers or fitting_workers(share), share


def fitting_workers(share: Share) -> int:
    """The number of workers for which the cluster has room, now; at least 1."""
    there = ray.cluster_resources()
    fitting = [there.get("CPU", 0.0) // share.cpus]
    if share.gpus:
        fitting.append(there.get("GPU", 0.0) // share.gpus)
    return max(1, int(min(fitting)))


def _local_cpus(options: WorkerOptions) -> int:
    """CPUs that Ray hands out: those there are, or as many as the workers need."""
    needed = (options.cpus_per_trial or 0.0) * (options.workers or 1)
    return max(available_cpus(), int(needed + 0.999))


def available_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _share_of(options: WorkerOptions, gpus: float) -> Share:
    workers, cpus = options.workers, options.cpus_per_trial
    if cpus is None:
        cpus = 1.0
        if options.cluster is None and workers:
            each = available_cpus() / workers
            cpus = float(int(each)) if each >= 1 else int(100 * each) / 100
    if options.gpus_per_trial is not None:
        each = options.gpus_per_trial
    else:
        each = gpus / workers if workers else min(gpus, 1.0)
    # Ray takes fractions below 1, or whole GPUs.
    return Share(workers, cpus, float(int(each)) if each >= 1 else int(1000 * each) / 1000)
