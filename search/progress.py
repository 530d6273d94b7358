"""Progress of a search: the events of its trials. Silent unless a subclass draws or records it."""

from collections.abc import Sequence

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
