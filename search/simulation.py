"""The schedule of a search, simulated without any training."""

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
from concrete_study.search.space import configuration_of
from concrete_study.search.tuner import StudyTuner, random_start


class SimulatedTrial(NamedTuple):
    """A trial that has not run yet."""

    epochs: int
    depth: int | None  # unfreeze depth; None if it depends on scores
    size: int | None  # image size, likewise
    bracket: int | None = None
    round: int = 0  # of its bracket; it waits for all trials of the round before


def simulate_schedule(
    options: SearchOptions, records: Sequence[TrialRecord]
) -> list[SimulatedTrial]:
    """Runs the oracle with random scores and returns the trials that it proposes.

    The configurations of the first rounds depend on the seed alone, so they are those of the
    search; which of them are promoted is random. Bayesian search proposes trials by their scores,
    and its models take long to fit: only the number of its trials is known.

    Args:
        options: The search's.
        records: Trials that have run; they keep their scores and are left out of the result.
    """
    if options.algorithm == "bayesian":
        alone = range(len(records), total_trials(schedule_of(options)))
        random_trials = random_start(options.space)
        return [
            SimulatedTrial(options.max_epochs, None, None, round=max(n - random_trials + 1, 0))
            for n in alone
        ]
    proposed: list[SimulatedTrial] = []
    generator = random.Random(options.seed)  # noqa: S311 - a simulation, no secret

    def run(requested: TrialRecord) -> TrialRecord:
        configuration = configuration_of(requested.hyperparameters)
        depth, size = configuration.unfreeze_depth, configuration.image_size
        bracket, number = requested.bracket, requested.round or 0
        proposed.append(SimulatedTrial(requested.epochs, depth, size, bracket, number))
        score: dict[str, float] = {options.objective: generator.random()}
        return replace(requested, status="completed", metrics=score)

    with TemporaryDirectory() as folder:
        stored = {record.trial: record for record in records}
        tuner = StudyTuner(options, directory=Path(folder) / "tuner", stored=stored, run=run)
        # Failed trials, or those of another search, end it; the search then reports the error.
        with suppress(keras_tuner.errors.FatalError, RuntimeError):
            tuner.search(verbose=0)
    return proposed
