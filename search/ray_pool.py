"""Trials on Ray workers, ahead of the search.

Only this process writes into the study's folder. A worker is given trials that the search will
request in any case (`search.lookahead`), in the order of the search.
"""

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from concrete_study.results.records import SearchOptions, TrialRecord
from concrete_study.search.lookahead import TrialKey, certain_trials, renamed, trial_key
from concrete_study.search.progress import SearchProgress
from concrete_study.search.ray_workers import Job, Lost, RayWorkers
from concrete_study.search.trial_run import TrialResult


class RayPool:
    """A `TrialPool` of Ray workers.

    Args:
        workers: Run the trials.
        options: Of the search.
        stored: Records of an earlier run, by trial.
        progress: Receives epochs.
        on_step: Called while waiting; an exception ends the search.
    """

    def __init__(
        self,
        workers: RayWorkers,
        options: SearchOptions,
        *,
        stored: Mapping[str, TrialRecord],
        progress: SearchProgress,
        on_step: Callable[[], None],
    ) -> None:
        self._workers, self._options, self._stored = workers, options, stored
        self._progress, self._on_step = progress, on_step
        self._results: dict[TrialKey, TrialResult] = {}
        self._queue: list[TrialRecord] = []
        self._is_stale = True  # whether the queue may lack trials that are certain now

    def has(self, requested: TrialRecord) -> bool:
        """See `TrialPool`."""
        return trial_key(requested) in self._results

    def result(self, requested: TrialRecord) -> TrialResult:
        """See `TrialPool`; meanwhile idle workers are given the next trials that are certain."""
        key = trial_key(requested)
        while True:
            self._workers.assign(lambda: self._next(requested))
            if key in self._results:
                break
            for job, value in self._workers.collect():
                self._receive(job.argument, value)
            self._on_step()
        found = self._results[key]
        self._results[key] = TrialResult(found.record, [])  # the predictions are not needed again
        for epoch in found.record.curve:
            self._progress.epoch_done(epoch)
        return TrialResult(renamed(found.record, requested), found.probabilities)

    def _receive(self, trial: TrialRecord, value: TrialResult | Lost) -> None:
        if isinstance(value, Lost):
            value = TrialResult(replace(trial, message=value.message), [])
        self._results[trial_key(trial)] = value
        self._is_stale = True

    def _next(self, requested: TrialRecord) -> Job | None:
        """The trial requested, or one that will be."""
        if self._is_open(requested):
            return _job(requested)
        while True:
            while self._queue:
                if self._is_open(trial := self._queue.pop(0)):
                    return _job(trial)
            if not self._is_stale:
                return None
            most = 2 * len(self._workers.all) + 8  # those that run, and as many again
            found = certain_trials(self._options, self._stored, self._known, most=most)
            self._queue = [trial for trial in found if self._is_open(trial)]
            self._is_stale = len(found) >= most

    def _known(self, trial: TrialRecord) -> TrialRecord | None:
        found = self._results.get(trial_key(trial))
        return found.record if found else None

    def _is_open(self, trial: TrialRecord) -> bool:
        """Whether a trial neither runs nor has a result."""
        key = trial_key(trial)
        return key not in self._results and not self._workers.is_pending(key)


def _job(trial: TrialRecord) -> Job:
    return Job(f"Trial {trial.trial}", trial_key(trial), "run", trial)
