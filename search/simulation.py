"""Which trials a search is going to ask for, found out without training any."""

import random
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import keras_tuner
from msgspec.structs import replace

from concrete_study.results.records import SearchOptions, TrialRecord
from concrete_study.search.options import schedule_of
from concrete_study.search.schedule import total_trials
from concrete_study.search.tuner import StudyTuner


class SimulatedTrial(NamedTuple):
    """A trial that is still to be run."""

    epochs: int
    depth: int | None  # None where only scores will tell


def simulate_schedule(
    options: SearchOptions, records: Sequence[TrialRecord]
) -> list[SimulatedTrial]:
    """Lets the oracle run through, with scores drawn by chance.

    What the first rounds draw depends on the seed alone, so it is what the search will draw;
    which of them are promoted is a guess. Bayesian search draws by its scores, and its models
    take long to fit: of its trials only the number is told.

    Args:
        options: The search's.
        records: Trials that have been run; they keep their scores and are left out.
    """
    if options.algorithm == "bayesian":
        left = total_trials(schedule_of(options)) - len(records)
        return [SimulatedTrial(options.max_epochs, None)] * left
    asked_for: list[SimulatedTrial] = []
    chance = random.Random(options.seed)

    def run(asked: TrialRecord) -> TrialRecord:
        asked_for.append(SimulatedTrial(asked.epochs, int(asked.hyperparameters["unfreeze_depth"])))
        score: dict[str, float] = {options.objective: chance.random()}
        return replace(asked, status="completed", metrics=score)

    with TemporaryDirectory() as folder:
        stored = {record.trial: record for record in records}
        tuner = StudyTuner(options, directory=Path(folder) / "tuner", stored=stored, run=run)
        # Trials that failed, or are another search's, end it: the search itself will say so.
        with suppress(keras_tuner.errors.FatalError, RuntimeError):
            tuner.search(verbose=0)
    return asked_for
