"""Keras Tuner searches: its oracle chooses a configuration and receives the trial's metrics.

A resumed search starts a new oracle and replays the stored records. A trial is a pure function
and the oracle is seeded, so it chooses the same configurations again; and nothing depends on
Keras Tuner's own files, which it does not write atomically (17 of 25 kills while it wrote left an
empty one).
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import keras_tuner
from keras_tuner.engine import base_tuner
from keras_tuner.src import config as tuner_config

from concrete_study.datasets.errors import StudyStateError
from concrete_study.results.hyperparameters import Dimension, Hyperparameter, Space, Value, by_name
from concrete_study.results.objectives import find_objective
from concrete_study.results.records import SearchOptions, TrialRecord
from concrete_study.search.hyperband import HyperbandOracle
from concrete_study.search.options import oracle_seed, schedule_of
from concrete_study.search.schedule import total_trials

RunTrial: TypeAlias = Callable[[TrialRecord], TrialRecord]


class StudyTuner(base_tuner.BaseTuner):  # type: ignore[misc]
    """Runs each trial with `run`, or takes its stored record.

    Args:
        options: Of the search.
        directory: Keras Tuner's own folder; replaced.
        stored: Records of finished trials, by trial.
        run: Takes the trial to run, a record without results, and returns it with results.
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
        # Otherwise it prints a traceback for every trial that diverged.
        tuner_config.DEBUG = False
        self._options = options
        self._stored = stored
        self._run = run

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Returns the trial's metrics to the oracle.

        Raises:
            FailedTrialError: If training diverged; the search continues.
            FatalError: If anything else went wrong; the search ends, `__cause__` is the reason.
        """
        requested = self._requested(trial)
        try:
            record = self._stored.get(requested.trial) or self._run(requested)
            self._require_same(requested, record)
        except Exception as error:
            # Keras Tuner would count any other exception as one more failed trial.
            raise keras_tuner.errors.FatalError(str(error)) from error
        if record.status == "failed":
            raise keras_tuner.errors.FailedTrialError(record.message)
        return record.metrics

    def _requested(self, trial: Any) -> TrialRecord:
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

    def _require_same(self, requested: TrialRecord, record: TrialRecord) -> None:
        if not _same(requested, record):
            raise StudyStateError(
                f"The stored trial {record.trial} differs from the one that the search requests.",
                f"Expected {requested.hyperparameters} for {requested.epochs} epochs; received "
                f"{record.hyperparameters} for {record.epochs} (by another version of this program "
                "or of keras-tuner?).",
                "start the study again, and overwrite it.",
            )


def _same(requested: TrialRecord, record: TrialRecord) -> bool:
    """Whether a record is of the same trial; a Gaussian process may differ in the last bits."""
    if (
        requested.hyperparameters.keys() != record.hyperparameters.keys()
        or requested.epochs != record.epochs
    ):
        return False
    return all(
        _is_close(value, record.hyperparameters[name])
        for name, value in requested.hyperparameters.items()
    )


def _is_close(first: Value, second: Value) -> bool:
    if isinstance(first, str) or isinstance(second, str):
        return first == second
    return math.isclose(first, second, rel_tol=1e-6)


def make_oracle(options: SearchOptions) -> keras_tuner.Oracle:
    """Keras Tuner's oracle for a search's algorithm, space and objective."""
    objective = find_objective(options.objective)
    shared = {
        "objective": keras_tuner.Objective(objective.name, objective.direction),
        "hyperparameters": declare(options.space),
        "allow_new_entries": False,
        "seed": oracle_seed(options),
    }
    if options.algorithm == "hyperband":
        return HyperbandOracle(
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
    return oracles[options.algorithm](max_trials=total_trials(schedule_of(options)), **shared)


def declare(space: Space) -> keras_tuner.HyperParameters:
    """Keras Tuner's form of a space; a hyperparameter with a condition is active only under it.

    Fixed values are left out: Keras Tuner would draw other configurations for each of them.
    """
    hp, known = keras_tuner.HyperParameters(), by_name()
    varied = [name for name, dimension in space.items() if len(dimension.choices) != 1]
    conditions = {name: known[name].requires for name in varied}
    for name, parent in sorted(conditions.items(), key=lambda item: item[1] is not None):
        values = space[parent].choices if parent else ()
        active = [value for value in values if float(value) > 0]
        if parent in varied and len(active) < len(values):
            with hp.conditional_scope(parent, active):
                _declare(hp, name, space[name])
        elif active or not parent:
            _declare(hp, name, space[name])
    return hp


def random_start(space: Space) -> int:
    """Keras Tuner's number of random configurations before its first Bayesian model."""
    return max(3 * len(declare(space).space), 3)


def hyperparameters_of(space: Space, values: Mapping[str, Any]) -> dict[str, Value]:
    """A trial's active hyperparameters, without Keras Tuner's own, in the order of the space."""
    known = by_name()
    fixed = {name: d.choices[0] for name, d in space.items() if len(d.choices) == 1}
    given = fixed | dict(values)
    return {
        name: _plain(known[name], given[name])
        for name in space
        if name in given and known[name].is_active(given)
    }


def _plain(hyperparameter: Hyperparameter, value: Any) -> Value:
    """A Python value; the Bayesian oracle draws NumPy's numbers."""
    if hyperparameter.names:
        return str(value)
    return int(value) if hyperparameter.integer else float(value)


def _declare(hp: keras_tuner.HyperParameters, name: str, dimension: Dimension) -> None:
    if dimension.choices:
        ordered = not isinstance(dimension.choices[0], str)
        hp.Choice(name, list(dimension.choices), ordered=ordered)
    else:
        sampling = "log" if dimension.log else "linear"
        hp.Float(name, dimension.low, dimension.high, sampling=sampling)
