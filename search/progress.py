"""What a search tells whoever watches it; the command line draws it, tests record it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from concrete_study.results.records import Epoch, TrialRecord


class Progress(Protocol):
    """Told of everything that takes time, in the order in which it happens."""

    def log(self, text: str) -> None:
        """One line that stays."""

    def counting(self, what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Images being worked through; the context's value takes how many were done."""

    def plan(self, trials: int, epochs: int, kept: Sequence[TrialRecord]) -> None:
        """What the search runs in all, and which trials an earlier run has finished."""

    def trial_started(self, trial: TrialRecord) -> None:
        """A trial begins; it has hyperparameters and no results yet."""

    def epoch_done(self, epoch: Epoch) -> None:
        """An epoch of the running trial or of the retraining ended."""

    def trial_done(self, trial: TrialRecord, best: TrialRecord | None) -> None:
        """A trial ended; `best` is the best of the highest rung so far."""
