from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from concrete_study.results.records import Round, SearchOptions, TrialRecord
from concrete_study.search.schedule import (
    flat_schedule,
    hyperband_schedule,
    total_epochs,
    total_trials,
)
from concrete_study.search.tuner import StudyTuner


def requested_by_keras_tuner(options: SearchOptions, folder: Path) -> list[TrialRecord]:
    """Every trial that the real oracle requests, with a made-up loss."""
    requested = []

    def run(trial: TrialRecord) -> TrialRecord:
        requested.append(trial)
        loss = (len(requested) * 37) % 101 / 101
        return replace(trial, status="completed", score=loss, metrics={options.objective: loss})

    StudyTuner(options, directory=folder / "tuner", stored={}, run=run).search(verbose=0)
    return requested


@pytest.mark.parametrize(
    ("max_epochs", "factor", "iterations"),
    [
        (1, 3, 1),
        (2, 3, 1),
        (3, 3, 1),
        (5, 3, 1),
        (9, 3, 1),
        (10, 3, 1),
        (10, 2, 1),
        (10, 4, 1),
        (10, 3, 2),
        (20, 3, 1),
        (27, 3, 1),
        (81, 3, 1),
    ],
)
def test_the_schedule_is_what_keras_tuners_hyperband_runs(
    max_epochs: int, factor: int, iterations: int, tmp_path: Path
) -> None:
    options = SearchOptions(max_epochs=max_epochs, factor=factor, iterations=iterations)
    requested = requested_by_keras_tuner(options, tmp_path)
    schedule = hyperband_schedule(max_epochs, factor=factor, iterations=iterations)
    planned: Counter[tuple[int | None, int | None, int]] = Counter()
    for part in schedule:
        planned[part.bracket, part.round, part.epochs] += part.trials
    assert Counter((t.bracket, t.round, t.epochs) for t in requested) == planned
    assert total_trials(schedule) == len(requested)
    assert total_epochs(schedule) == sum(trial.epochs for trial in requested)
    order = [(part.bracket, part.round) for part in schedule for _ in range(part.trials)]
    assert [(trial.bracket, trial.round) for trial in requested] == order


def test_ten_epochs_are_thirty_trials_of_twenty_two_configurations(tmp_path: Path) -> None:
    requested = requested_by_keras_tuner(SearchOptions(), tmp_path)
    assert len(requested) == 30
    assert len({tuple(trial.hyperparameters.values()) for trial in requested}) == 22
    assert hyperband_schedule(10) == [
        Round(bracket=2, round=0, trials=12, epochs=2),
        Round(bracket=2, round=1, trials=4, epochs=4),
        Round(bracket=2, round=2, trials=2, epochs=10),
        Round(bracket=1, round=0, trials=6, epochs=4),
        Round(bracket=1, round=1, trials=2, epochs=10),
        Round(bracket=0, round=0, trials=4, epochs=10),
    ]
    assert total_epochs(hyperband_schedule(10)) == 144


def test_a_promoted_trial_has_its_parents_hyperparameters(tmp_path: Path) -> None:
    requested = {t.trial: t for t in requested_by_keras_tuner(SearchOptions(), tmp_path)}
    promoted = [trial for trial in requested.values() if trial.parent]
    assert len(promoted) == 8
    for trial in promoted:
        assert trial.parent is not None
        parent = requested[trial.parent]
        assert trial.hyperparameters == parent.hyperparameters
        assert trial.round is not None
        assert parent.round == trial.round - 1
        assert parent.epochs < trial.epochs


@pytest.mark.parametrize("given", [(0, 3, 1), (10, 1, 1), (10, 3, 0), (-1, 3, 1)])
def test_arguments_below_their_least_are_refused(given: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=f"max_epochs={given[0]}, factor={given[1]}"):
        hyperband_schedule(given[0], factor=given[1], iterations=given[2])


def test_other_algorithms_give_every_trial_the_whole_budget() -> None:
    schedule = flat_schedule(7, 10)
    assert (total_trials(schedule), total_epochs(schedule)) == (7, 70)
