from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from concrete_study.results.records import SearchOptions, TrialRecord
from concrete_study.search.schedule import (
    Round,
    flat_schedule,
    hyperband_schedule,
    total_epochs,
    total_trials,
)
from concrete_study.search.tuner import StudyTuner


def asked_by_keras_tuner(options: SearchOptions, folder: Path) -> list[TrialRecord]:
    """Every trial the real oracle asks for, answered with a made-up loss."""
    asked = []

    def run(trial: TrialRecord) -> TrialRecord:
        asked.append(trial)
        loss = (len(asked) * 37) % 101 / 101
        return replace(trial, status="completed", score=loss, metrics={"val_loss": loss})

    StudyTuner(options, directory=folder / "tuner", stored={}, run=run).search(verbose=0)
    return asked


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
    asked = asked_by_keras_tuner(options, tmp_path)
    schedule = hyperband_schedule(max_epochs, factor=factor, iterations=iterations)
    planned: Counter[tuple[int | None, int | None, int]] = Counter()
    for part in schedule:
        planned[part.bracket, part.round, part.epochs] += part.trials
    assert Counter((t.bracket, t.round, t.epochs) for t in asked) == planned
    assert total_trials(schedule) == len(asked)
    assert total_epochs(schedule) == sum(trial.epochs for trial in asked)
    order = [(part.bracket, part.round) for part in schedule for _ in range(part.trials)]
    assert [(trial.bracket, trial.round) for trial in asked] == order


def test_ten_epochs_are_thirty_trials_of_twenty_two_configurations(tmp_path: Path) -> None:
    asked = asked_by_keras_tuner(SearchOptions(), tmp_path)
    assert len(asked) == 30
    assert len({tuple(trial.hyperparameters.values()) for trial in asked}) == 22
    assert hyperband_schedule(10) == [
        Round(2, 0, 12, 2),
        Round(2, 1, 4, 4),
        Round(2, 2, 2, 10),
        Round(1, 0, 6, 4),
        Round(1, 1, 2, 10),
        Round(0, 0, 4, 10),
    ]
    assert total_epochs(hyperband_schedule(10)) == 144


def test_a_promoted_trial_has_its_parents_settings_and_the_best_go_on(tmp_path: Path) -> None:
    asked = {t.trial: t for t in asked_by_keras_tuner(SearchOptions(), tmp_path)}
    promoted = [trial for trial in asked.values() if trial.parent]
    assert len(promoted) == 8
    for trial in promoted:
        assert trial.parent is not None
        parent = asked[trial.parent]
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
