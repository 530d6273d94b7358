"""What a search says before it starts, and that it ends in time."""

from pathlib import Path

import pytest
from small_study import TRIALS, Recorder, Search, small_options, without_times

from datasets.errors import ExitCode, UsageError
from models.features import FeaturePlan
from models.rates import Rates
from results.folder import StudyFolder
from results.records import TrialRecord
from search.plan import SearchPlan, describe_plan, rounds_left
from search.retraining import retrain
from search.runner import plan_search, run_search
from search.schedule import Round, hyperband_schedule
from study.app import run
from study.search import parse_budget

RATES = Rates(
    passing=0.1, training={0: 0.0, 3: 0.02}, validating={0: 0.0, 3: 0.01}, compiling={0: 1, 3: 3}
)
ROUNDS = [Round(1, 0, 6, 4), Round(1, 1, 2, 10)]


def made_plan(rounds: list[Round]) -> SearchPlan:
    features = FeaturePlan(("pooled", "block4_pool"), 5, 10**9, "")
    return SearchPlan(
        rounds=rounds,
        done=0,
        depths=(0, 3),
        structures=4,
        train=100,
        validation=20,
        features=features,
        passes=520,
        rates=RATES,
    )


def record(number: int, epochs: int) -> TrialRecord:
    return TrialRecord(
        trial=f"{number:04}", status="completed", settings={}, epochs=epochs, seconds=1.0
    )


def test_the_times_follow_from_what_was_timed() -> None:
    plan = made_plan(ROUNDS)
    assert plan.feature_seconds == pytest.approx(52)
    assert plan.trial_seconds(10, 0) == 0
    assert plan.trial_seconds(10, 3) == pytest.approx(5 * (100 * 0.02 + 20 * 0.01))  # 11 s
    assert plan.trial_seconds(10) == pytest.approx(5.5)
    assert plan.search_seconds == pytest.approx(4 * 2 + 6 * 2.2 + 2 * 5.5)
    assert plan.seconds == pytest.approx(52 + plan.search_seconds)


def test_a_budget_holds_the_rounds_that_fit_in_their_order() -> None:
    plan = made_plan(ROUNDS)
    assert plan.trials_within(1000) == ROUNDS
    assert plan.trials_within(52 + 6 * 2.2 + 6) == [ROUNDS[0], Round(1, 1, 1, 10)]
    assert plan.trials_within(52 + 3 * 2.2) == [Round(1, 0, 3, 4)]
    assert plan.trials_within(10) == []
    told = describe_plan(plan, budget=52 + 3 * 2.2)[-1]
    assert told == "--time-budget 59 s holds about 3 of 8 trials, up to 4 epochs."
    assert not any("--time-budget" in line for line in describe_plan(plan, budget=1000))


def test_what_was_run_before_is_not_planned_again() -> None:
    schedule = hyperband_schedule(10)
    done = [record(n, 2) for n in range(12)] + [record(12, 4), record(13, 10)]
    left = rounds_left(schedule, done)
    assert sum(r.trials for r in left) == 30 - 14
    assert left[0] == Round(2, 1, 3, 4)
    assert rounds_left(schedule, []) == schedule


def test_a_plan_counts_what_the_search_then_does(
    whole: Search, slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    options, told = small_options(slabs), Recorder()
    plan = plan_search(options, StudyFolder(tmp_path / "runs" / "planned"), told)
    assert sum(r.trials for r in plan.rounds) == TRIALS
    assert (plan.train, plan.validation, plan.passes) == (20, 4, 2 * 20 + 4)
    assert all(seconds > 0 for seconds in plan.rates.training.values())
    assert f"Plan: {TRIALS} trials, 12 epochs." in told.notes
    assert any("44 passes through VGG16" in note for note in told.notes)
    assert not (tmp_path / "runs").exists()
    assert not list((tmp_path / "cache").rglob("*.npy"))
    run_search(options, StudyFolder(tmp_path / "runs" / "first"), Recorder())
    stored = sum(p.stat().st_size for p in (tmp_path / "cache").rglob("*.npy"))
    assert stored == pytest.approx(plan.features.bytes, abs=128 * 20)  # numpy's headers
    again = plan_search(options, StudyFolder(tmp_path / "runs" / "second"), told)
    assert again.passes == 0
    assert any("all features are stored" in note for note in told.notes)


def test_a_search_whose_time_is_up_has_a_best_and_goes_on_later(
    whole: Search, slabs: Path, tmp_path: Path
) -> None:
    study, told = StudyFolder(tmp_path / "s"), Recorder()
    best = run_search(small_options(slabs), study, told, time_budget=0.001)
    assert [r.trial for r in study.trials()] == ["0000"]
    assert best.trial == "0000"
    manifest = study.manifest()
    assert (manifest["state"], manifest["stopped"]) == ("finished", "time budget")
    assert f"1 of {TRIALS} trials: the time budget is spent." in told.notes
    run_search(small_options(slabs), study, Recorder(), resume=True)
    assert without_times(study.trials()) == whole.records
    assert study.manifest()["stopped"] is None


def test_a_trial_in_which_the_time_ends_is_dropped_whole(slabs: Path, tmp_path: Path) -> None:
    """Its first epochs were on time; a score of fewer epochs would belong to another rung."""

    class Slow(Recorder):
        def epoch_done(self, epoch: object) -> None:
            super().epoch_done(epoch)  # type: ignore[arg-type]
            if len(self.epochs) == 5:
                clock[0] += 1e9

    clock = [0.0]
    study = StudyFolder(tmp_path / "s")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("search.runner.time.monotonic", lambda: clock[0])
        run_search(small_options(slabs), study, Slow(), time_budget=1e6)
    assert [(r.trial, r.epochs) for r in study.trials()] == [("0000", 1), ("0001", 1), ("0002", 1)]


def test_a_part_is_searched_and_all_are_retrained_on(slabs: Path, tmp_path: Path) -> None:
    study, told = StudyFolder(tmp_path / "s"), Recorder()
    options = small_options(slabs, search_images=12, max_epochs=1)
    run_search(options, study, told)
    manifest = study.manifest()
    assert manifest["images"] == {"train": 20, "validation": 4, "test": 4}
    assert manifest["searched"] == {"train": 10, "validation": 2}
    assert told.counted["features of train"] == 10
    again = Recorder()
    metrics = retrain(study, again)
    assert again.counted["training"] == 20
    assert metrics["test"]["images"] == 4
    assert run_search(options, study, Recorder(), resume=True).trial == metrics["trial"]


def test_a_dry_run_tells_the_plan_and_leaves_nothing(
    slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = ["search", "--data", str(slabs), "--image-size", "32", "--max-epochs", "3"]
    assert run([*typed, "--dry-run", "--time-budget", "1s"]) == ExitCode.OK
    out, err = capsys.readouterr()
    assert out == ""
    assert f"Plan: {TRIALS} trials" in err
    assert "Time: about" in err
    assert "--time-budget 1 s holds about" in err
    assert not list(tmp_path.iterdir())


def test_a_time_budget_is_read_as_it_is_said() -> None:
    assert parse_budget("2h") == 7200
    assert parse_budget("1h30m") == 5400
    assert parse_budget("90M") == 5400
    assert parse_budget("45s") == 45
    for wrong in ("", "0h", "2", "2d", "-1h", "h", "1.5h"):
        with pytest.raises(UsageError, match="cannot be used"):
            parse_budget(wrong)
