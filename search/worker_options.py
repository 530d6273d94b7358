"""How many workers there are and where they run, for a search and for predictions."""

from importlib import import_module
from socket import create_connection
from typing import NamedTuple

from concrete_study.datasets.errors import ResourceError, UsageError


class WorkerOptions(NamedTuple):
    """How trials are distributed; the results do not depend on it.

    Attributes:
        workers: Processes that run trials at the same time; None is as many as the cluster has
            room for, or one.
        cluster: Address of a Ray cluster, e.g. `auto` or `10.0.0.1:6379`; None is this machine.
        cpus_per_trial: CPUs of each worker, which has as many threads, but at least two; None
            shares out those of this machine, and is 1 on a cluster.
        gpus_per_trial: GPUs of each worker, also fractions; None shares out all that there are.
    """

    workers: int | None = None
    cluster: str | None = None
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None

    def check(self) -> None:
        """Raises UsageError if a value cannot be used, ResourceError without Ray."""
        lowest = {"workers": 1, "cpus_per_trial": 0.01, "gpus_per_trial": 0}
        for name, least in lowest.items():
            value = getattr(self, name)
            if value is not None and not least <= value < float("inf"):
                raise UsageError(
                    f"{value} cannot be used.",
                    f"Expected a number of at least {least}.",
                    parameter=name,
                )
        for name in ("cpus_per_trial", "gpus_per_trial"):
            if getattr(self, name) is not None and not self.is_distributed:
                raise UsageError(
                    "it has no meaning in one process.",
                    "Expected several workers or a cluster with it.",
                    parameter=name,
                )
        if self.is_distributed:
            _require_ray()
        if self.cluster is not None:
            _require_reachable(self.cluster)

    @property
    def is_distributed(self) -> bool:
        """Whether trials run in other processes."""
        return self.cluster is not None or (self.workers or 1) > 1


IN_PROCESS = WorkerOptions()


def _require_ray() -> None:
    try:
        import_module("ray")
    except ImportError as error:
        raise ResourceError(
            "Ray is not installed, which runs trials in several processes.",
            f"Expected the extra `cluster` of this package; received: {error}.",
            'pip install "concrete-study[cluster]"',
        ) from error


def _require_reachable(address: str) -> None:
    """Connects once: Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in host:
        return  # `auto`, or another form that Ray knows
    try:
        create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise UsageError(
            f"no Ray cluster answers at {address}.",
            f"Expected host:port of its head node, or auto; received: {error}.",
            parameter="cluster",
        ) from error
