"""Workers on Ray: actors that are given jobs, and are replaced when they are lost."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)

from concrete_study.datasets.errors import ResourceError, StudyError
from concrete_study.results.records import TrialRecord
from concrete_study.search.progress import SearchProgress
from concrete_study.search.ray_connection import Share, fitting_workers
from concrete_study.search.ray_worker import Opened, SearchTask

ATTEMPTS = 3  # of a job whose worker is lost
LOST = (RayActorError, OutOfMemoryError, WorkerCrashedError, NodeDiedError, ObjectLostError)
POLL_SECONDS = 0.5
PATIENCE_SECONDS = 60.0  # without any worker, before a message


class Job(NamedTuple):
    """A call of a worker's method."""

    name: str  # in messages, e.g. "Trial 0001"
    key: Hashable  # equal for jobs with the same result
    method: str  # of `TrialWorker`
    argument: Any


class Lost(NamedTuple):
    """Instead of a result: as many workers as there are attempts were lost with the job."""

    message: str


class Worker:
    """One actor, and what it does."""

    def __init__(self, number: int, actor: Any, task: Any) -> None:
        self.number, self.actor = number, actor
        self.waits_for: Any = actor.open.remote(task)  # a Ray reference; None if idle
        self.opened: Opened | None = None
        self.job: Job | None = None

    @property
    def name(self) -> str:
        """Its number, and the node once it is open."""
        return f"worker {self.number}" + (f" on {self.opened.node}" if self.opened else "")

    def start(self, job: Job) -> None:
        """Begins a job."""
        self.job, self.waits_for = job, getattr(self.actor, job.method).remote(job.argument)

    def stop(self) -> None:
        """Kills the process."""
        with contextlib.suppress(RayError):
            ray.kill(self.actor)


class RayWorkers:
    """All workers of a search.

    Args:
        actor_class: `TrialWorker`.
        task: The search.
        share: Of each worker.
        progress: Receives the events of workers.
        on_worker: Called with the node of each worker that is ready.
    """

    def __init__(
        self,
        actor_class: type,
        task: SearchTask,
        share: Share,
        *,
        progress: SearchProgress,
        on_worker: Callable[[str], None],
    ) -> None:
        self._task, self._share = ray.put(task), share
        self._progress, self._on_worker = progress, on_worker
        actor = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_restarts=0)
        self._actor_class: Any = actor(actor_class)
        self.all: list[Worker] = []
        self._started = self._failed_starts = 0
        self.again: list[Job] = []  # whose worker is lost
        self._attempts: Counter[Hashable] = Counter()
        self._last_worker = time.monotonic()

    def assign(self, next_job: Callable[[], Job | None], *, shared: bool = False) -> None:
        """Starts missing workers, and gives every idle one a job.

        Args:
            next_job: Returns a job that is not pending, or None.
            shared: Only to workers that share the folder of features with this process.
        """
        while len(self.all) < self._wanted():
            self._started += 1
            self.all.append(Worker(self._started, self._actor_class.remote(), self._task))
        for worker in self.all:
            if worker.waits_for is not None or not worker.opened:
                continue
            if shared and not worker.opened.shares:
                continue
            if job := self.again.pop(0) if self.again else next_job():
                worker.start(job)
                if isinstance(job.argument, TrialRecord):
                    self._progress.worker_started(worker.name, job.argument)

    def is_pending(self, key: Hashable) -> bool:
        """Whether a job runs, or will run again."""
        jobs = [*self.again, *(worker.job for worker in self.all if worker.job)]
        return any(job.key == key for job in jobs)

    def may_share(self) -> bool:
        """Whether a worker shares the folder of features, or none is ready yet."""
        ready = [worker.opened for worker in self.all if worker.opened]
        return not ready or any(opened.shares for opened in ready)

    def collect(self) -> list[tuple[Job, Any]]:
        """Waits for a worker, at most `POLL_SECONDS`; returns jobs with results, or `Lost`."""
        busy = {worker.waits_for: worker for worker in self.all if worker.waits_for}
        ready, _ = ray.wait(list(busy), num_returns=1, timeout=POLL_SECONDS)
        done: list[tuple[Job, Any]] = []
        for reference in ready:
            worker = busy[reference]
            try:
                done += self._receive(worker, ray.get(reference))
            except RayTaskError as error:
                if not isinstance(error.cause, MemoryError):
                    raise _at_node(error, worker) from error
                done += self._replace(worker, "out of memory")
            except LOST as error:
                done += self._replace(worker, _reason(error))
        self._require_workers()
        return done

    def close(self) -> None:
        """Stops all workers."""
        for worker in self.all:
            worker.stop()
        self.all.clear()
        self.again.clear()

    def _wanted(self) -> int:
        """The number of workers; without a given one it follows a cluster that grows."""
        return self._share.workers or fitting_workers(self._share)

    def _receive(self, worker: Worker, value: Any) -> list[tuple[Job, Any]]:
        job, worker.job, worker.waits_for = worker.job, None, None
        if job is not None:
            return [(job, value)]
        worker.opened = value
        self._failed_starts = 0
        self._progress.log(f"{worker.name.capitalize()} (process {value.process}) is ready.")
        self._on_worker(value.node)
        return []

    def _replace(self, worker: Worker, reason: str) -> list[tuple[Job, Any]]:
        """Removes a worker that is lost; its job is done again."""
        worker.stop()
        self.all.remove(worker)
        if (job := worker.job) is None:
            self._failed_starts += 1
            if self._failed_starts >= ATTEMPTS * self._wanted():
                raise ResourceError("no worker could be started.", f"The last one ended: {reason}.")
            return []
        self._attempts[job.key] += 1
        lost = f"{worker.name} was lost: {reason}"
        self._progress.log(f"{job.name}, attempt {self._attempts[job.key]}: {lost}.")
        if self._attempts[job.key] >= ATTEMPTS:
            return [(job, Lost(f"failed {ATTEMPTS} times; {lost}"))]
        self.again.append(job)
        return []

    def _require_workers(self) -> None:
        """Reports once a minute that the cluster has no room for a worker."""
        now = time.monotonic()
        if any(worker.opened for worker in self.all):
            self._last_worker = now
        elif now - self._last_worker > PATIENCE_SECONDS:
            self._last_worker = now
            self._progress.log(
                f"Waiting for workers; each needs {self._share.cpus:g} CPUs and "
                f"{self._share.gpus:g} GPUs. Free: {ray.available_resources()}."
            )


def _reason(error: Exception) -> str:
    """The first line of what Ray reports."""
    if isinstance(error, OutOfMemoryError):
        return "its node is out of memory"
    return next((line.strip(" .") for line in str(error).splitlines() if line.strip()), "no reason")


def _at_node(error: RayTaskError, worker: Worker) -> BaseException:
    """The exception of a worker, with its name and node."""
    cause: BaseException = error.cause if isinstance(error.cause, BaseException) else error
    if isinstance(cause, StudyError):
        cause.problem = f"{cause.problem.rstrip('.')} ({worker.name})."
    else:
        cause.add_note(f"In {worker.name}:\n{error.traceback_str}")
    return cause
