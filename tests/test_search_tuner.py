from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
import msgspec
import pytest
from msgspec.structs import replace

from concrete_study.datasets.errors import StudyStateError
from concrete_study.results.hyperparameters import Dimension, default_space
from concrete_study.results.objectives import DEFAULT_OBJECTIVE
from concrete_study.results.records import SearchOptions, TrialRecord
from concrete_study.search import tuner
from concrete_study.search.options import schedule_of
from concrete_study.search.schedule import planned_trials
from concrete_study.search.space import size_of
from concrete_study.search.tuner import StudyTuner

GRID = default_space() | {
    "feature_layers": Dimension(choices=("block5",)),
    "head_units": Dimension(choices=(0, 64)),
    "dropout": Dimension(choices=(0.0, 0.5)),
    "unfreeze_depth": Dimension(choices=(0, 1, 2)),
    "head_learning_rate": Dimension(choices=(1e-3,)),
    "fine_tune_learning_rate": Dimension(choices=(1e-5, 1e-4)),
}
ALGORITHMS: dict[str, dict[str, Any]] = {
    "hyperband": {},
    "random": {"trials": 12},
    "bayesian": {"trials": 8},
    "grid": {"space": GRID},
}


def completed(trial: TrialRecord) -> TrialRecord:
    """A made-up loss that only the hyperparameters and the budget decide."""
    loss = (
        float(trial.hyperparameters["dropout"])
        + 0.1 / trial.epochs
        + 1e-3 * float(trial.hyperparameters["head_units"])
    )
    return replace(trial, status="completed", score=loss, metrics={DEFAULT_OBJECTIVE: loss})


def searched(
    options: SearchOptions,
    folder: Path,
    *,
    stored: list[TrialRecord] | None = None,
    run: Callable[[TrialRecord], TrialRecord] = completed,
) -> list[TrialRecord]:
    """The trials that were run, without those taken from `stored`."""
    ran = []

    def noted(trial: TrialRecord) -> TrialRecord:
        ran.append(run(trial))
        return ran[-1]

    known = {record.trial: record for record in stored or []}
    StudyTuner(options, directory=folder / "tuner", stored=known, run=noted).search(verbose=0)
    return ran


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_search_resumed_from_its_records_requests_the_same_trials(
    algorithm: str, tmp_path: Path
) -> None:
    options = SearchOptions(algorithm=algorithm, **ALGORITHMS[algorithm])
    whole = searched(options, tmp_path)
    assert len(whole) == sum(part.trials for part in schedule_of(options))
    for kept in (0, 1, len(whole) // 2, len(whole)):
        # As they come back from their files.
        stored = [
            msgspec.json.decode(msgspec.json.encode(record), type=TrialRecord)
            for record in whole[:kept]
        ]
        assert searched(options, tmp_path, stored=stored) == whole[kept:]


def test_another_seed_requests_other_trials(tmp_path: Path) -> None:
    first, second = (searched(SearchOptions(seed=seed), tmp_path) for seed in (1, 2))
    assert not {str(t.hyperparameters) for t in first} & {str(t.hyperparameters) for t in second}


def test_seed_0_is_a_seed(tmp_path: Path) -> None:
    options = SearchOptions(algorithm="random", trials=3, seed=0)
    assert searched(options, tmp_path) == searched(options, tmp_path)


def test_a_grid_has_every_configuration_once(tmp_path: Path) -> None:
    ran = searched(SearchOptions(algorithm="grid", space=GRID), tmp_path)
    assert len(ran) == len({str(trial.hyperparameters) for trial in ran}) == 20


@pytest.mark.parametrize("change", [{"hyperparameters": {"dropout": 0.123}}, {"epochs": 11}])
def test_a_stored_trial_that_differs_from_the_requested_one_is_refused(
    change: dict[str, Any], tmp_path: Path
) -> None:
    options = SearchOptions(algorithm="random", trials=4)
    whole = searched(options, tmp_path)
    stored = [whole[0], replace(whole[1], **change)]
    with pytest.raises(keras_tuner.errors.FatalError) as caught:
        searched(options, tmp_path, stored=stored)
    assert isinstance(caught.value.__cause__, StudyStateError)
    assert f"stored trial {whole[1].trial} differs" in str(caught.value.__cause__)


def test_after_a_failed_trial_the_search_continues_without_output(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(trial: TrialRecord) -> TrialRecord:
        failed = trial.trial in ("0003", "0014")
        return replace(trial, message="diverged") if failed else completed(trial)

    ran = searched(SearchOptions(), tmp_path, run=run)
    # The first is replaced; the second, of a later round, leaves one trial out of the next.
    assert [t.trial for t in ran if t.status == "failed"] == ["0003", "0014"]
    assert [ran[3].round, ran[14].round, len(ran)] == [0, 1, 30]
    assert not {t.parent for t in ran} & {"0003", "0014"}
    assert max(t.epochs for t in ran) == 10
    output = capfd.readouterr()
    assert output.out + output.err == ""
    states = [
        keras_tuner.engine.trial.Trial.load(str(path)).status
        for path in sorted((tmp_path / "tuner").glob("trial_*/trial.json"))
    ]
    assert (states.count("FAILED"), states.count("COMPLETED")) == (2, len(ran) - 2)
    # Resumed, failed trials are not tried again.
    assert searched(SearchOptions(), tmp_path, stored=ran[:16]) == ran[16:]


def completed_by_round(trials: list[TrialRecord]) -> Counter[tuple[int | None, int | None]]:
    return Counter((t.bracket, t.round) for t in trials if t.status == "completed")


def test_a_failed_trial_of_a_first_round_is_replaced_and_changes_no_other_configuration(
    tmp_path: Path,
) -> None:
    options = SearchOptions(iterations=2)
    whole = searched(options, tmp_path)
    first = [t.hyperparameters for t in whole if t.round == 0]
    failing = (first[3], first[11], first[14], first[21], first[30])

    def run(trial: TrialRecord) -> TrialRecord:
        failed = trial.hyperparameters in failing
        return replace(trial, message="diverged") if failed else completed(trial)

    ran = searched(options, tmp_path, run=run)
    assert completed_by_round(ran) == completed_by_round(whole)
    assert len(ran) == planned_trials(schedule_of(options), ran) == len(whole) + len(failing)
    drawn = [t.hyperparameters for t in ran if t.round == 0]
    assert [h for h in drawn if h in first] == first
    assert len({str(h) for h in drawn}) == len(first) + len(failing)
    # Also resumed, wherever it ended.
    for kept in (3, 4, 12, 25, 60):
        assert searched(options, tmp_path, stored=ran[:kept], run=run) == ran[kept:]


def test_a_first_round_has_no_more_replacements_than_trials(tmp_path: Path) -> None:
    def run(trial: TrialRecord) -> TrialRecord:
        failed = trial.bracket == 2 and int(trial.trial) % 3
        return replace(trial, message="diverged") if failed else completed(trial)

    ran = searched(SearchOptions(), tmp_path, run=run)
    bracket = [t for t in ran if t.bracket == 2]
    # 8 of 24 are completed, and Keras Tuner promotes none of the 8 that it would drop of 12.
    assert (len(bracket), completed_by_round(bracket)) == (24, {(2, 0): 8})
    assert len(ran) - 24 == 12
    assert planned_trials(schedule_of(SearchOptions()), bracket) == 30 + 12


def test_without_another_configuration_the_search_continues_without_a_replacement(
    tmp_path: Path,
) -> None:
    space = GRID | {"dropout": Dimension(choices=(0.0, 0.1, 0.2, 0.3, 0.5))}
    options = SearchOptions(space=space | {"head_units": Dimension(choices=(0,))})
    whole = searched(options, tmp_path, run=completed)
    assert len({str(t.hyperparameters) for t in whole}) == size_of(options.space) - 3 == 22

    def run(trial: TrialRecord) -> TrialRecord:
        failed = trial.trial in ("0001", "0003", "0006", "0008")
        return replace(trial, message="diverged") if failed else completed(trial)

    ran = searched(options, tmp_path, run=run)
    assert 22 <= len({str(t.hyperparameters) for t in ran}) <= size_of(options.space)
    assert completed_by_round(ran)[2, 0] < 12
    assert completed_by_round(ran)[0, 0] == 4


def test_a_search_without_failures_is_the_one_of_keras_tuner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for options in (SearchOptions(), SearchOptions(max_epochs=9, factor=2, iterations=2, seed=4)):
        ours = searched(options, tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(tuner, "HyperbandOracle", keras_tuner.oracles.HyperbandOracle)
            assert searched(options, tmp_path) == ours


def test_three_failures_in_a_row_end_the_search_and_two_do_not(tmp_path: Path) -> None:
    def run(failing: set[str]) -> list[TrialRecord]:
        return searched(
            SearchOptions(algorithm="random", trials=9),
            tmp_path,
            run=lambda t: replace(t, message="x") if t.trial in failing else completed(t),
        )

    assert len(run({"0", "1", "3", "4", "6", "7"})) == 9
    with pytest.raises(RuntimeError, match="consecutive failures"):
        run({"2", "3", "4"})


@pytest.mark.parametrize("fault", [ZeroDivisionError("a bug"), OSError(28, "No space left")])
def test_any_other_exception_ends_the_search_at_once(fault: Exception, tmp_path: Path) -> None:
    calls = []

    def run(trial: TrialRecord) -> TrialRecord:
        calls.append(trial)
        raise fault

    with pytest.raises(keras_tuner.errors.FatalError) as caught:
        searched(SearchOptions(), tmp_path, run=run)
    assert caught.value.__cause__ is fault
    assert len(calls) == 1


def test_keras_tuners_folder_holds_no_network(tmp_path: Path) -> None:
    searched(SearchOptions(), tmp_path)
    files = [path for path in (tmp_path / "tuner").rglob("*") if path.is_file()]
    assert len(files) > 30
    assert {path.suffix for path in files} == {".json"}
    assert sum(path.stat().st_size for path in files) < 300_000
