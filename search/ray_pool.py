"""Workers on Ray: actors that run trials ahead of the search, and are replaced when they are lost.

Only this process writes into the study's folder. A worker is given trials that the search will
request in any case (`search.lookahead`), in the order of the search.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import ray
from msgspec.structs import replace
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
from concrete_study.search.lookahead import TrialKey, certain_trials, trial_key
from concrete_study.search.progress import SearchProgress
from concrete_study.search.ray_connection import Share
from concrete_study.search.ray_worker import SearchTask, TrialWorker
from concrete_study.search.trial_run import TrialResult

ATTEMPTS = 3  # of a trial whose worker is lost
LOST = (RayActorError, OutOfMemoryError, WorkerCrashedError, NodeDiedError, ObjectLostError)
POLL_SECONDS = 0.5
PATIENCE_SECONDS = 60.0  # without any worker, before a message


class _Worker:
    """One actor, and what it does."""

    def __init__(self, number: int, actor: Any, waits_for: Any) -> None:
        self.number, self.actor = number, actor
        self.waits_for: Any = waits_for  # a Ray reference; None if idle
        self.node = ""  # empty until it is open
        self.trial: TrialRecord | None = None

    @property
    def name(self) -> str:
        return f"worker {self.number} on {self.node}" if self.node else f"worker {self.number}"

    def stop(self) -> None:
        with contextlib.suppress(RayError):
            ray.kill(self.actor)


class RayPool:
    """A `TrialPool` of Ray actors.

    Args:
        task: The search.
        share: Of each worker.
        stored: Records of an earlier run, by trial.
        progress: Receives the events of workers.
        on_worker: Called with the node of each worker that is ready.
        on_step: Called while waiting; an exception ends the search.
    """

    def __init__(
        self,
        task: SearchTask,
        share: Share,
        *,
        stored: Mapping[str, TrialRecord],
        progress: SearchProgress,
        on_worker: Callable[[str], None],
        on_step: Callable[[], None],
    ) -> None:
        self._options, self._share, self._stored = task.options, share, stored
        self._task = ray.put(task)
        self._progress, self._on_worker, self._on_step = progress, on_worker, on_step
        actor = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_restarts=0)
        self._actor_class: Any = actor(TrialWorker)
        self._workers: list[_Worker] = []
        self._started = self._failed_starts = 0
        self._results: dict[TrialKey, TrialResult] = {}
        self._attempts: Counter[TrialKey] = Counter()
        self._queue: list[TrialRecord] = []
        self._is_stale = True  # whether the queue may lack trials that are certain now
        self._last_worker = time.monotonic()

    def has(self, requested: TrialRecord) -> bool:
        """See `TrialPool`."""
        return trial_key(requested) in self._results

    def result(self, requested: TrialRecord) -> TrialResult:
        """See `TrialPool`; meanwhile idle workers are given the next trials that are certain."""
        key = trial_key(requested)
        while True:
            self._start_workers()
            self._assign(requested)
            if key in self._results:
                break
            self._collect(POLL_SECONDS)
            self._on_step()
        found = self._results[key]
        self._results[key] = TrialResult(found.record, [])  # the predictions are not needed again
        for epoch in found.record.curve:
            self._progress.epoch_done(epoch)
        return TrialResult(_renamed(found.record, requested), found.probabilities)

    def close(self) -> None:
        """Stops all workers."""
        for worker in self._workers:
            worker.stop()
        self._workers.clear()

    def _start_workers(self) -> None:
        while len(self._workers) < self._wanted():
            self._started += 1
            actor = self._actor_class.remote()
            self._workers.append(_Worker(self._started, actor, actor.open.remote(self._task)))

    def _wanted(self) -> int:
        """The number of workers; without a given one it follows a cluster that grows."""
        if self._share.workers is not None:
            return self._share.workers
        there = ray.cluster_resources()
        fitting = [there.get("CPU", 0.0) // self._share.cpus]
        if self._share.gpus:
            fitting.append(there.get("GPU", 0.0) // self._share.gpus)
        return max(1, int(min(fitting)))

    def _assign(self, requested: TrialRecord) -> None:
        """Gives every idle worker a trial: the one requested, or one that will be."""
        for worker in self._workers:
            if worker.waits_for is None and (trial := self._next(requested)):
                worker.trial, worker.waits_for = trial, worker.actor.run.remote(trial)
                self._progress.worker_started(worker.name, trial)

    def _next(self, requested: TrialRecord) -> TrialRecord | None:
        if self._is_open(requested):
            return requested
        while True:
            while self._queue:
                if self._is_open(trial := self._queue.pop(0)):
                    return trial
            if not self._is_stale:
                return None
            most = 2 * len(self._workers) + 8  # those that run, and as many again
            found = certain_trials(self._options, self._stored, self._known, most=most)
            self._queue = [trial for trial in found if self._is_open(trial)]
            self._is_stale = len(found) >= most

    def _known(self, trial: TrialRecord) -> TrialRecord | None:
        found = self._results.get(trial_key(trial))
        return found.record if found else None

    def _is_open(self, trial: TrialRecord) -> bool:
        """Whether a trial neither runs nor has a result."""
        key = trial_key(trial)
        running = (worker.trial for worker in self._workers if worker.trial)
        return key not in self._results and all(trial_key(each) != key for each in running)

    def _collect(self, seconds: float) -> None:
        """Waits until a worker has something to report, at most so long."""
        busy = {worker.waits_for: worker for worker in self._workers if worker.waits_for}
        ready, _ = ray.wait(list(busy), num_returns=1, timeout=seconds)
        for reference in ready:
            worker = busy[reference]
            try:
                self._receive(worker, ray.get(reference))
            except RayTaskError as error:
                if not isinstance(error.cause, MemoryError):
                    raise _at_node(error, worker) from error
                self._replace(worker, "out of memory")
            except LOST as error:
                self._replace(worker, _reason(error))
        self._require_workers()

    def _receive(self, worker: _Worker, value: Any) -> None:
        worker.waits_for = None
        if worker.trial is None:
            worker.node, process = value
            self._failed_starts = 0
            self._progress.log(f"{worker.name.capitalize()} (process {process}) is ready.")
            self._on_worker(worker.node)
        else:
            self._results[trial_key(worker.trial)] = value
            worker.trial = None
            self._is_stale = True

    def _replace(self, worker: _Worker, reason: str) -> None:
        """Starts another worker for one that is lost, and queues its trial again."""
        worker.stop()
        self._workers.remove(worker)
        self._is_stale = True
        trial = worker.trial
        if trial is None:
            self._failed_starts += 1
            if self._failed_starts >= ATTEMPTS * self._wanted():
                raise ResourceError("no worker could be started.", f"The last one ended: {reason}.")
            return
        key = trial_key(trial)
        self._attempts[key] += 1
        lost = f"{worker.name} was lost: {reason}"
        self._progress.log(f"Trial {trial.trial}, attempt {self._attempts[key]}: {lost}.")
        if self._attempts[key] >= ATTEMPTS:
            message = f"failed {ATTEMPTS} times; {lost}"
            self._results[key] = TrialResult(replace(trial, message=message), [])
        else:
            self._queue.insert(0, trial)

    def _require_workers(self) -> None:
        """Reports once a minute that the cluster has no room for a worker."""
        now = time.monotonic()
        if any(worker.node for worker in self._workers):
            self._last_worker = now
        elif now - self._last_worker > PATIENCE_SECONDS:
            self._last_worker = now
            self._progress.log(
                f"Waiting for workers; each needs {self._share.cpus:g} CPUs and "
                f"{self._share.gpus:g} GPUs. Free: {ray.available_resources()}."
            )


def _renamed(record: TrialRecord, requested: TrialRecord) -> TrialRecord:
    """A result under the identifiers of the trial that is requested now."""
    return replace(
        record,
        trial=requested.trial,
        bracket=requested.bracket,
        round=requested.round,
        parent=requested.parent,
    )


def _reason(error: Exception) -> str:
    """The first line of what Ray reports."""
    if isinstance(error, OutOfMemoryError):
        return "its node is out of memory"
    return next((line.strip(" .") for line in str(error).splitlines() if line.strip()), "no reason")


def _at_node(error: RayTaskError, worker: _Worker) -> BaseException:
    """The exception of a worker, with its name and node."""
    cause: BaseException = error.cause if isinstance(error.cause, BaseException) else error
    if isinstance(cause, StudyError):
        cause.problem = f"{cause.problem.rstrip('.')} ({worker.name})."
    else:
        cause.add_note(f"In {worker.name}:\n{error.traceback_str}")
    return cause
