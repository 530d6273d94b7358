"""Which trials a search will request, known before the scores of those that still run.

A new oracle of the same seed is given the results that are known and made-up ones for the others.
A trial that it requests is certain if it depends on none of the made-up results; so several
workers can run trials ahead of a search that is sequential, and its table stays the same.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import keras_tuner
from msgspec.structs import replace

from concrete_study.results.hyperparameters import Value
from concrete_study.results.records import SearchOptions, TrialRecord
from concrete_study.search.tuner import StudyTuner, random_start

TrialKey: TypeAlias = tuple[int, tuple[tuple[str, Value], ...]]
FindResult: TypeAlias = Callable[[TrialRecord], TrialRecord | None]


class _EnoughError(Exception):
    """Ends the replay."""


def trial_key(trial: TrialRecord) -> TrialKey:
    """What a trial's result depends on within a search.

    Its identifier is not part of it: a failed trial is replaced, and all later identifiers change.
    """
    return trial.epochs, tuple(sorted(trial.hyperparameters.items()))


def renamed(record: TrialRecord, requested: TrialRecord) -> TrialRecord:
    """A result under the identifiers of another trial of the same key: both have one result."""
    return replace(
        record,
        trial=requested.trial,
        bracket=requested.bracket,
        round=requested.round,
        parent=requested.parent,
    )


def certain_trials(
    options: SearchOptions, stored: Mapping[str, TrialRecord], find: FindResult, *, most: int
) -> list[TrialRecord]:
    """The next trials that the search requests whatever the unknown scores are.

    Args:
        options: Of the search.
        stored: Records of finished trials, by trial.
        find: Returns the record of any other trial whose result is known.
        most: Number of trials after which to stop, at least 1.

    Returns:
        Trials without a known result, in the order of the search; each has the identifier that
        it has if no running trial fails.
    """
    replay = _Replay(options, find, most)
    with TemporaryDirectory() as folder:
        directory = Path(folder) / "tuner"
        tuner = StudyTuner(options, directory=directory, stored=stored, run=replay.run)
        # Failed trials, or those of another search, end it; the search then reports the error.
        with suppress(keras_tuner.errors.FatalError, RuntimeError):
            tuner.search(verbose=0)
    return replay.certain


class _Replay:
    """Gives an oracle known or made-up results, and collects the trials that are certain."""

    def __init__(self, options: SearchOptions, find: FindResult, most: int) -> None:
        self.certain: list[TrialRecord] = []
        self._options, self._find, self._most = options, find, most
        self._unknown: Counter[tuple[int | None, int | None]] = Counter()  # by bracket and round
        self._random = random_start(options.space)

    def run(self, requested: TrialRecord) -> TrialRecord:
        """The known result, or a made-up one."""
        certain = self._is_certain(requested)
        if certain and (known := self._find(requested)):
            return renamed(known, requested)
        if not certain and self._options.algorithm == "bayesian":
            raise _EnoughError  # all later ones depend on it too, and its models take long to fit
        self._unknown[requested.bracket, requested.round] += 1
        if certain:
            self.certain.append(requested)
            if len(self.certain) >= self._most:
                raise _EnoughError
        score = {self._options.objective: 0.5}
        return replace(requested, status="completed", metrics=score)

    def _is_certain(self, requested: TrialRecord) -> bool:
        if self._options.algorithm == "bayesian":
            return int(requested.trial) < self._random or not self._unknown
        # Of Hyperband: promotion depends on the scores of the round before alone. (Of a repeated
        # bracket the earlier one counts too, which only makes a trial certain later.)
        before = requested.bracket, (requested.round or 0) - 1
        return not requested.round or not self._unknown[before]
