"""Progress of a search: the events of its trials. Silent unless a subclass draws or records it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

from concrete_study.datasets.progress import Progress
from concrete_study.results.records import Epoch, TrialRecord


class SearchProgress(Progress):
    """Receives everything that takes time in a search or a retraining, in order."""

    def plan(self, trials: int, epochs: int, kept: Sequence[TrialRecord]) -> None:
        """The search runs so many trials and epochs in all; an earlier run finished `kept`."""

    def suggest(self, parameter: str, value: object, seconds: float, instead_of: float) -> None:
        """The search and the retraining take less time with another value of an option."""

    def trial_started(self, trial: TrialRecord) -> None:
        """A trial begins; it has hyperparameters and no results yet."""

    def worker_started(self, worker: str, trial: TrialRecord) -> None:
        """A worker, named with its node, begins a trial, possibly ahead of the search."""

    def epoch_done(self, epoch: Epoch) -> None:
        """An epoch of the running trial or of the retraining ended."""

    def trial_done(self, trial: TrialRecord, best: TrialRecord | None) -> None:
        """A trial ended; `best` is the best of the highest rung so far."""


Callback: TypeAlias = SearchProgress | Callable[[TrialRecord | Epoch], object]
"""Receives all progress, or, as a function, each epoch and each trial when it has ended."""


class CallbackProgress(SearchProgress):
    """Passes all progress on to several receivers, in their order."""

    def __init__(self, receivers: Sequence[Callback]) -> None:
        self._receivers = [
            r if isinstance(r, SearchProgress) else _FunctionProgress(r) for r in receivers
        ]

    def log(self, message: str) -> None:
        """Reports one message to all."""
        for receiver in self._receivers:
            receiver.log(message)

    @contextmanager
    def counting(
        self, description: str, total: int, unit: str = "images"
    ) -> Iterator[Callable[[int], None]]:
        """Reports counts to all."""
        with ExitStack() as stack:
            counts = [
                stack.enter_context(receiver.counting(description, total, unit))
                for receiver in self._receivers
            ]

            def count(number: int) -> None:
                for one in counts:
                    one(number)

            yield count

    def plan(self, trials: int, epochs: int, kept: Sequence[TrialRecord]) -> None:
        """Reports the plan to all."""
        for receiver in self._receivers:
            receiver.plan(trials, epochs, kept)

    def suggest(self, parameter: str, value: object, seconds: float, instead_of: float) -> None:
        """Reports the suggestion to all."""
        for receiver in self._receivers:
            receiver.suggest(parameter, value, seconds, instead_of)

    def trial_started(self, trial: TrialRecord) -> None:
        """Reports the trial to all."""
        for receiver in self._receivers:
            receiver.trial_started(trial)

    def worker_started(self, worker: str, trial: TrialRecord) -> None:
        """Reports the worker and its trial to all."""
        for receiver in self._receivers:
            receiver.worker_started(worker, trial)

    def epoch_done(self, epoch: Epoch) -> None:
        """Reports the epoch to all."""
        for receiver in self._receivers:
            receiver.epoch_done(epoch)

    def trial_done(self, trial: TrialRecord, best: TrialRecord | None) -> None:
        """Reports the trial to all."""
        for receiver in self._receivers:
            receiver.trial_done(trial, best)


class _FunctionProgress(SearchProgress):
    """Calls a function with every epoch and every trial that has ended."""

    def __init__(self, function: Callable[[TrialRecord | Epoch], object]) -> None:
        self._function = function

    def epoch_done(self, epoch: Epoch) -> None:
        """Passes the epoch on."""
        self._function(epoch)

    def trial_done(self, trial: TrialRecord, best: TrialRecord | None) -> None:
        """Passes the trial on."""
        self._function(trial)
