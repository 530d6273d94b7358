from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from test_search_tuner import ALGORITHMS, completed, searched

from concrete_study.results.records import SearchOptions, TrialRecord
from concrete_study.search.lookahead import certain_trials, trial_key

Run = Callable[[TrialRecord], TrialRecord]


def failing(*trials: str) -> Run:
    """Some trials fail; the others have made-up losses."""
    return lambda t: replace(t, message="x") if t.trial in trials else completed(t)


def ahead(options: SearchOptions, known: list[TrialRecord]) -> list[TrialRecord]:
    """Certain trials after some that are known by their configuration alone."""
    records = {trial_key(record): record for record in known}
    return certain_trials(options, {}, lambda t: records.get(trial_key(t)), most=1000)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("run", [completed, failing("0003", "0014", "3")], ids=["all", "failing"])
def test_certain_trials_are_those_of_a_search_with_one_worker(
    algorithm: str, seed: int, run: Run, tmp_path: Path
) -> None:
    options = SearchOptions(algorithm=algorithm, seed=seed, **ALGORITHMS[algorithm])
    whole = searched(options, tmp_path, run=run)
    order = [trial_key(trial) for trial in whole]
    for known in range(0, len(whole), 3):
        found = [trial_key(trial) for trial in ahead(options, whole[:known])]
        assert found == [key for key in order[known:] if key in found]
        assert found[0] == order[known]


@pytest.mark.parametrize("changes", [{}, {"iterations": 2}, {"max_epochs": 27}])
def test_trials_known_out_of_order_make_no_other_trial_certain(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    options = SearchOptions(**changes)
    whole = searched(options, tmp_path, run=failing("0003", "0021"))
    order = {trial_key(trial) for trial in whole}
    for step in (2, 3):
        known = whole[::step]
        found = {trial_key(trial) for trial in ahead(options, known)}
        assert found <= order - {trial_key(trial) for trial in known}


def test_at_the_start_all_first_rounds_of_hyperband_are_certain(tmp_path: Path) -> None:
    whole = searched(SearchOptions(), tmp_path)
    first = [trial_key(trial) for trial in whole if trial.round == 0]
    assert [trial_key(trial) for trial in ahead(SearchOptions(), [])] == first
    assert len(first) == 22


def test_a_round_is_certain_once_the_one_before_is_known(tmp_path: Path) -> None:
    whole = searched(SearchOptions(), tmp_path)
    found = ahead(SearchOptions(), whole[:12])
    assert [trial.trial for trial in found if trial.round] == [t.trial for t in whole[12:16]]
    found = ahead(SearchOptions(), whole[:11])
    assert not [trial for trial in found if trial.bracket == 2 and trial.round]


def test_bayesian_search_is_certain_for_its_random_start_alone(tmp_path: Path) -> None:
    options = SearchOptions(algorithm="bayesian", trials=30)
    dimensions = len({name for name, d in options.space.items() if len(d.choices) != 1})
    assert len(ahead(options, [])) == 3 * dimensions


def test_no_more_trials_are_proposed_than_asked_for() -> None:
    assert len(certain_trials(SearchOptions(), {}, lambda trial: None, most=5)) == 5
