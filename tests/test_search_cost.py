"""What a search says before it starts, and that it ends in time."""

from pathlib import Path

import pytest
from small_study import TRIALS, Recorder, Search, small_options, without_times

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.cli.search import parse_budget
from concrete_study.datasets.errors import UsageError
from concrete_study.models.features import FeaturePlan
from concrete_study.results.folder import StudyFolder
from concrete_study.search.cost import SearchPlan, describe_plan
from concrete_study.search.runner import plan_search, run_search
from concrete_study.search.simulation import SimulatedTrial, simulate_schedule
from concrete_study.search.throughput import Rates
from concrete_study.study.retraining import retrain

RATES = Rates(
    passing=0.1, training={0: 0.0, 3: 0.02}, validating={0: 0.0, 3: 0.01}, compiling={0: 1, 3: 3}
)
LEFT = [SimulatedTrial(4, depth) for depth in (0, 3, 0, 3, None, None)] + [
    SimulatedTrial(10, None)
] * 2


def made_plan(left: list[SimulatedTrial], *, spent: float = 0.0) -> SearchPlan:
    features = FeaturePlan(("pooled", "block4_pool"), 5, 10**9, "")
    return SearchPlan(
        left=left,
        done=0,
        depths=(0, 3),
        architectures=4,
        train=100,
        validation=20,
        features=features,
        passes=520,
        rates=RATES,
        spent=spent,
    )


def test_the_times_follow_from_what_was_timed() -> None:
    plan = made_plan(LEFT)
    assert plan.feature_seconds == pytest.approx(52)
    assert plan.trial_seconds(10, 0) == 0
    assert plan.trial_seconds(10, 3) == pytest.approx(5 * (100 * 0.02 + 20 * 0.01))  # 11 s
    assert plan.trial_seconds(10) == pytest.approx(5.5)
    assert plan.search_seconds == pytest.approx(4 * 2 + 6 * 2.2 + 2 * 5.5)
    assert plan.seconds == pytest.approx(52 + plan.search_seconds)


def test_a_budget_holds_the_trials_that_fit_in_their_order() -> None:
    plan = made_plan(LEFT)
    assert plan.trials_within(1000) == LEFT
    # One second of compiling each: 1, 5.4, 1, 5.4, 3.2, 3.2, 6.5 and 6.5 s.
    assert plan.trials_within(52 + 25.8) == LEFT[:7]
    assert plan.trials_within(52 + 8) == LEFT[:3]
    assert made_plan(LEFT, spent=3).trials_within(52 + 8) == LEFT[:1]
    assert plan.trials_within(10) == LEFT[:1]  # one is always finished
    told = describe_plan(plan, budget=52 + 8)[-1]
    assert told == "--time-budget 1 min 00 s holds about 3 of 8 trials, up to 4 epochs."
    assert not any("--time-budget" in line for line in describe_plan(plan, budget=1000))
    assert len(describe_plan(made_plan([], spent=3), budget=1)) == 3  # nothing is left to hold
    just_short = describe_plan(plan, budget=plan.seconds - 1)[-1]
    assert "holds about 7 of 8 trials" in just_short


def test_a_rehearsal_asks_for_what_the_search_will_ask_for(whole: Search) -> None:
    asked = simulate_schedule(whole.options, [])
    assert [trial.epochs for trial in asked] == [record.epochs for record in whole.records]
    first = [n for n, record in enumerate(whole.records) if record.parent is None]
    assert [asked[n].depth for n in first] == [
        whole.records[n].hyperparameters["unfreeze_depth"] for n in first
    ]


def test_a_rehearsal_leaves_out_what_was_run_before(whole: Search) -> None:
    left = simulate_schedule(whole.options, whole.records[:4])
    assert [(t.epochs, t.depth) for t in left] == [
        (r.epochs, r.hyperparameters["unfreeze_depth"]) for r in whole.records[4:]
    ]
    assert simulate_schedule(whole.options, whole.records) == []


@pytest.mark.parametrize(("algorithm", "depths"), [("random", {0, 1}), ("bayesian", {None})])
def test_other_searches_are_rehearsed_too(
    algorithm: str, depths: set[int | None], slabs: Path
) -> None:
    asked = simulate_schedule(small_options(slabs, algorithm=algorithm, trials=9), [])
    assert {trial.depth for trial in asked} == depths
    assert [trial.epochs for trial in asked] == [3] * 9


def test_a_plan_counts_what_the_search_then_does(
    whole: Search, slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    options, told = small_options(slabs), Recorder()
    plan = plan_search(options, StudyFolder(tmp_path / "runs" / "planned"), told)
    assert len(plan.left) == TRIALS
    assert (plan.train, plan.validation, plan.passes) == (20, 4, 2 * 20 + 4)
    assert all(seconds > 0 for seconds in plan.rates.training.values())
    assert (
        f"Plan: {TRIALS} trials, 12 epochs on 20 training and 4 validation images." in told.messages
    )
    assert any("44 passes through VGG16" in note for note in told.messages)
    assert not (tmp_path / "runs").exists()
    assert not list((tmp_path / "cache").rglob("*.npy"))
    run_search(options, StudyFolder(tmp_path / "runs" / "first"), Recorder())
    stored = sum(p.stat().st_size for p in (tmp_path / "cache").rglob("*.npy"))
    assert stored == pytest.approx(plan.features.bytes, abs=128 * 20)  # numpy's headers
    again = plan_search(options, StudyFolder(tmp_path / "runs" / "second"), told)
    assert again.passes == 0
    assert any("all features are stored" in note for note in told.messages)


def test_a_search_whose_time_is_up_has_a_best_and_goes_on_later(
    whole: Search, slabs: Path, tmp_path: Path
) -> None:
    study, told = StudyFolder(tmp_path / "s"), Recorder()
    best = run_search(small_options(slabs), study, told, time_budget=0.001)
    assert [r.trial for r in study.trials()] == ["0000"]
    assert best.trial == "0000"
    manifest = study.manifest()
    assert (manifest.state, manifest.stopped) == ("finished", "time budget")
    assert f"1 of {TRIALS} trials: the time budget is used up." in told.messages
    run_search(small_options(slabs), study, Recorder(), resume=True)
    assert without_times(study.trials()) == whole.records
    assert study.manifest().stopped is None


def test_a_budget_in_which_no_trial_would_begin_is_refused(
    slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    study = StudyFolder(tmp_path / "runs" / "s")
    with pytest.raises(UsageError, match="0 s is too short") as caught:
        run_search(small_options(slabs), study, Recorder(), time_budget=0.001)
    assert "44 passes" in caught.value.expected
    assert not study.path.exists()
    made_plan(LEFT).require_features_within(53)
    with pytest.raises(UsageError, match="Expected more than 2 s of reading"):
        made_plan(LEFT, spent=2).require_features_within(53)


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
        patch.setattr("concrete_study.search.runner.time.monotonic", lambda: clock[0])
        run_search(small_options(slabs), study, Slow(), time_budget=1e6)
    assert [(r.trial, r.epochs) for r in study.trials()] == [("0000", 1), ("0001", 1), ("0002", 1)]


def test_a_part_is_searched_and_all_are_retrained_on(slabs: Path, tmp_path: Path) -> None:
    study, told = StudyFolder(tmp_path / "s"), Recorder()
    options = small_options(slabs, search_images=12, max_epochs=1)
    run_search(options, study, told)
    manifest = study.manifest()
    assert manifest.images == {"train": 20, "validation": 4, "test": 4}
    assert manifest.searched == {"train": 10, "validation": 2}
    assert told.counted["features of train"] == 10
    again = Recorder()
    metrics = retrain(study, again)
    assert again.counted["training"] == 20
    assert metrics.test.images == 4
    assert run_search(options, study, Recorder(), resume=True).trial == metrics.trial


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
