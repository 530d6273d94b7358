"""Keras Tuner does the searching: its oracle is asked for a configuration and told a score.

A resumed search asks the oracle anew from the start and answers from the stored records for
as long as there are any. A trial is a pure function and the oracle is seeded, so it hands out
the same configurations again; and nothing depends on Keras Tuner's own files, which it does
not write atomically (17 of 25 kills while it wrote left an empty one).
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine import base_tuner
from keras_tuner.src import config as tuner_config

from concrete_study.datasets.errors import StudyStateError
from concrete_study.results.records import TrialRecord
from concrete_study.results.trials import objective_direction
from concrete_study.search.options import SearchOptions
from concrete_study.search.schedule import total_trials
from concrete_study.search.space import declare, hyperparameters_of

RunTrial = Callable[[TrialRecord], TrialRecord]


class StudyTuner(base_tuner.BaseTuner):  # type: ignore[misc]
    """Runs each trial through `run`, or answers it from a stored record.

    Args:
        options: The search's.
        directory: Keras Tuner's own folder, written anew.
        stored: Records of trials that have been run, by trial.
        run: Takes the trial to be run, as a record without results, and returns it with them.
    """

    def __init__(
        self,
        options: SearchOptions,
        *,
        directory: Path,
        stored: Mapping[str, TrialRecord],
        run: RunTrial,
    ) -> None:
        super().__init__(
            oracle=make_oracle(options),
            directory=str(directory.parent),
            project_name=directory.name,
            overwrite=True,
        )
        # Else it prints a traceback for every trial that diverged.
        tuner_config.DEBUG = False
        self._options = options
        self._stored = stored
        self._run = run

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Returns the trial's metrics to the oracle.

        Raises:
            FailedTrialError: If training diverged; the search goes on without it.
            FatalError: If anything else went wrong; the search ends, `__cause__` says why.
        """
        asked = self._asked(trial)
        try:
            record = self._stored.get(asked.trial) or self._run(asked)
            self._require_same(asked, record)
        except Exception as error:
            # Keras Tuner would count any other exception as one more failed trial.
            raise keras_tuner.errors.FatalError(str(error)) from error
        if record.status == "failed":
            raise keras_tuner.errors.FailedTrialError(record.message)
        return record.metrics

    def _asked(self, trial: Any) -> TrialRecord:
        values = trial.hyperparameters.values
        return TrialRecord(
            trial=trial.trial_id,
            status="failed",
            hyperparameters=hyperparameters_of(self._options.space, values),
            epochs=values.get("tuner/epochs", self._options.max_epochs),
            seconds=0.0,
            bracket=values.get("tuner/bracket"),
            round=values.get("tuner/round"),
            parent=values.get("tuner/trial_id"),
        )

    def _require_same(self, asked: TrialRecord, record: TrialRecord) -> None:
        if not _same(asked, record):
            raise StudyStateError(
                f"the stored trial {record.trial} is not the one the search asks for.",
                f"Expected {asked.hyperparameters} for {asked.epochs} epochs; "
                f"received {record.hyperparameters} for {record.epochs} (another keras-tuner?).",
                "--overwrite to start this study again.",
            )


def _same(asked: TrialRecord, record: TrialRecord) -> bool:
    """Whether a record answers what is asked; a Gaussian process may differ in the last bits."""
    if (
        asked.hyperparameters.keys() != record.hyperparameters.keys()
        or asked.epochs != record.epochs
    ):
        return False
    return all(
        math.isclose(value, record.hyperparameters[name], rel_tol=1e-6)
        for name, value in asked.hyperparameters.items()
    )


def make_oracle(options: SearchOptions) -> keras_tuner.Oracle:
    """Keras Tuner's oracle for a search's algorithm, space and objective."""
    shared = {
        "objective": keras_tuner.Objective(
            options.objective, objective_direction(options.objective)
        ),
        "hyperparameters": declare(options.space),
        "allow_new_entries": False,
        "seed": options.oracle_seed,
    }
    if options.algorithm == "hyperband":
        return keras_tuner.oracles.HyperbandOracle(
            max_epochs=options.max_epochs,
            factor=options.factor,
            hyperband_iterations=options.iterations,
            **shared,
        )
    oracles = {
        "random": keras_tuner.oracles.RandomSearchOracle,
        "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
        "grid": keras_tuner.oracles.GridSearchOracle,
    }
    return oracles[options.algorithm](max_trials=total_trials(options.schedule()), **shared)
