"""The estimated cost of a search, and time budgets."""

from pathlib import Path
from typing import Any

import pytest
from small_study import TRIALS, Recorder, Search, small_options, without_times

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode, option_name
from concrete_study.datasets.errors import UsageError
from concrete_study.models.feature_plan import FeaturePlan
from concrete_study.results.folder import StudyFolder
from concrete_study.search.cost import Retraining, SearchPlan, Workforce, describe_plan
from concrete_study.search.parsing import parse_budget
from concrete_study.search.retraining_cost import (
    describe_retraining,
    retraining_passes,
    retraining_seconds,
    suggest,
    suggest_budget,
    suggest_subsample,
)
from concrete_study.search.runner import plan_search, run_search
from concrete_study.search.simulation import SimulatedTrial, simulate_schedule
from concrete_study.search.throughput import StepTimes
from concrete_study.search.tuner import random_start
from concrete_study.search.worker_options import IN_PROCESS, WorkerOptions
from concrete_study.search.workers import workforce_of
from concrete_study.study.display import Display
from concrete_study.study.retraining import retrain

TIMES = StepTimes(
    forward_pass=0.1,
    training={0: 0.0, 3: 0.02},
    validation={0: 0.0, 3: 0.01},
    compilation={0: 1, 3: 3},
)
REMAINING = [SimulatedTrial(4, depth, None) for depth in (0, 3, 0, 3, None, None)] + [
    SimulatedTrial(10, None, None)
] * 2


def made_plan(remaining: list[SimulatedTrial], *, elapsed: float = 0.0) -> SearchPlan:
    features = FeaturePlan(("block5_average", "block4_pool"), 5, 10**9, "")
    return SearchPlan(
        remaining=remaining,
        completed=0,
        depths=(0, 3),
        sizes=(224,),
        architectures=4,
        images=(100, 20),
        train=100,
        validation=20,
        folds=0,
        repeats=1,
        class_weight="none",
        imbalance=1.0,
        features=features,
        forward_passes={224: 520},
        all_forward_passes=520,
        times=TIMES,
        retraining=Retraining(
            train=100,
            validation=20,
            test=30,
            epochs=10,
            subsample=False,
            forward_passes={224: 640},
        ),
        elapsed=elapsed,
    )


def test_estimates_follow_from_the_measured_times() -> None:
    plan = made_plan(REMAINING)
    assert plan.feature_seconds == pytest.approx(52)
    assert plan.trial_seconds(10, 0) == 0
    assert plan.trial_seconds(10, 3) == pytest.approx(5 * (100 * 0.02 + 20 * 0.01))  # 11 s
    assert plan.trial_seconds(10) == pytest.approx(5.5)
    assert plan.search_seconds == pytest.approx(4 * 2 + 6 * 2.2 + 2 * 5.5)
    assert plan.seconds == pytest.approx(52 + plan.search_seconds)


def chained(brackets: list[list[tuple[int, int]]]) -> SearchPlan:
    """Of brackets, each a list of rounds: number of trials, and epochs of each."""
    trials = [
        SimulatedTrial(epochs, 3, None, bracket, number)
        for bracket, rounds in enumerate(brackets)
        for number, (count, epochs) in enumerate(rounds)
        for _ in range(count)
    ]
    return made_plan(trials)._replace(architectures=0)


def test_workers_share_out_the_trials_and_forward_passes() -> None:
    one = chained([[(8, 4)]])  # 4.4 s each
    two = one._replace(workforce=Workforce(workers=2))
    assert one.search_seconds == pytest.approx(8 * 4.4)
    assert two.search_seconds == pytest.approx(4 * 4.4)
    assert two.feature_seconds == pytest.approx(26)
    assert two.trial_seconds(4, 3) == one.trial_seconds(4, 3)
    assert "26 s for 520 forward passes" in describe_plan(two)[2]
    assert describe_plan(two)[2].endswith("18 s for the trials on 2 workers.")
    assert retraining_seconds(two) == retraining_seconds(one)  # in one process


def test_workers_on_parts_of_one_machine_save_no_time() -> None:
    one = chained([[(8, 4)]])
    two = one._replace(workforce=Workforce(workers=2, slowdown=2))
    assert two.search_seconds == pytest.approx(one.search_seconds)
    assert two.feature_seconds == pytest.approx(one.feature_seconds)
    assert two.trial_seconds(4, 3) == 2 * one.trial_seconds(4, 3)


def test_no_number_of_workers_is_faster_than_rounds_that_wait_for_each_other() -> None:
    plan = chained([[(9, 2), (3, 4), (1, 10)], [(3, 4), (1, 10)]])
    many = plan._replace(workforce=Workforce(workers=1000))
    assert many.search_seconds == pytest.approx(2.2 + 4.4 + 11)
    slow = plan._replace(workforce=Workforce(workers=1000, slowdown=4))
    assert slow.search_seconds == pytest.approx(4 * (2.2 + 4.4 + 11))


def test_each_worker_compiles_what_it_runs() -> None:
    plan = made_plan(REMAINING)  # 4 architectures of 2 s, 8 trials
    trials = plan.search_seconds - 8
    assert plan._replace(workforce=Workforce(2)).search_seconds == pytest.approx(trials / 2 + 8)


def test_more_trials_fit_into_a_time_budget_with_workers() -> None:
    plan = chained([[(8, 4)]])
    assert len(plan.trials_within(52 + 9)) == 2
    assert len(plan._replace(workforce=Workforce(2)).trials_within(26 + 9)) == 4


def test_a_bayesian_search_waits_for_each_trial_after_its_random_start(slabs: Path) -> None:
    options = small_options(slabs, algorithm="bayesian", trials=20)
    rounds = [trial.round for trial in simulate_schedule(options, [])]
    start = random_start(options.space)
    assert rounds == [0] * start + list(range(1, 20 - start + 1))


@pytest.mark.parametrize("given", [{"workers": 2}, {"workers": 4, "cpus_per_trial": 0.5}])
def test_workers_share_the_cpus_of_one_machine(given: dict[str, Any]) -> None:
    pytest.importorskip("ray", reason="needs the extra `cluster`")
    from concrete_study.search.ray_connection import available_cpus

    cpus = available_cpus()
    each = given.get("cpus_per_trial", cpus // 2 or cpus / 2)
    expected = Workforce(given["workers"], max(cpus / each, 1))
    assert workforce_of(WorkerOptions(**given)) == expected
    assert workforce_of(IN_PROCESS) == Workforce()


def test_the_plan_has_the_class_weights_of_imbalanced_images() -> None:
    plan = made_plan(REMAINING)
    assert not any("Class weights" in line for line in describe_plan(plan))
    weighted = plan._replace(class_weight="balanced", imbalance=2.44)
    (line,) = [line for line in describe_plan(weighted) if "Class weights" in line]
    assert line.endswith("the largest class has 2.4 times the images of the smallest.")


def test_a_time_budget_holds_the_trials_that_fit_in_their_order() -> None:
    plan = made_plan(REMAINING)
    assert plan.trials_within(1000) == REMAINING
    # One second of compilation each: 1, 5.4, 1, 5.4, 3.2, 3.2, 6.5 and 6.5 s.
    assert plan.trials_within(52 + 25.8) == REMAINING[:7]
    assert plan.trials_within(52 + 8) == REMAINING[:3]
    assert made_plan(REMAINING, elapsed=3).trials_within(52 + 8) == REMAINING[:1]
    assert plan.trials_within(10) == REMAINING[:1]  # one is always completed
    line = describe_plan(plan, budget=52 + 8)[-1]
    assert line == "About 3 of 8 trials, up to 4 epochs, fit into the time budget of 1 min 00 s."
    assert not any("time budget" in line for line in describe_plan(plan, budget=1000))
    assert len(describe_plan(made_plan([], elapsed=3), budget=1)) == 3  # no trial remains
    just_short = describe_plan(plan, budget=plan.seconds - 1)[-1]
    assert "About 7 of 8 trials" in just_short


def test_a_retraining_after_a_search_of_all_images_computes_no_features() -> None:
    plan = made_plan(REMAINING)
    assert retraining_passes(plan) == 20 + 30  # predictions of validation and test images
    # Half of the space fine-tunes, for 5 of 10 epochs; validation is unaugmented and shifted.
    training = 5 * (100 * 0.02 + 7 * 20 * 0.01) / 2
    assert retraining_seconds(plan) == pytest.approx((1 + (1 + 3)) / 2 + 50 * 0.1 + training)
    assert describe_retraining(plan) == (
        "Retraining the best trial afterwards: about 16 s (50 forward passes, 10 epochs on 100 "
        "images, test on 30)."
    )


def test_a_retraining_after_a_search_of_a_subsample_computes_features_of_all_images() -> None:
    plan = made_plan(REMAINING)
    part = plan._replace(retraining=plan.retraining._replace(subsample=True))
    assert retraining_passes(part) == 640 + 20 + 30
    assert retraining_seconds(part) == pytest.approx(retraining_seconds(plan) + 64)


def test_a_subsample_is_suggested_for_a_search_that_takes_over_an_hour() -> None:
    large = made_plan(REMAINING)._replace(
        images=(10_000, 2_000),
        train=10_000,
        validation=14_000,
        forward_passes={224: 64_000},
        all_forward_passes=64_000,
    )
    work = large.retraining._replace(train=10_000, validation=2_000, forward_passes={224: 64_000})
    large = large._replace(retraining=work)
    suggestion = suggest_subsample(large)
    assert suggestion is not None
    assert (suggestion.parameter, suggestion.value) == ("search_images", 1000)
    assert suggestion.instead_of == pytest.approx(large.seconds + retraining_seconds(large))
    # The features of all images remain, and those of the subsample come before.
    assert 6400 + 533 < suggestion.seconds < 0.75 * suggestion.instead_of
    assert suggest_subsample(made_plan(REMAINING)) is None
    assert suggest_subsample(large._replace(retraining=work._replace(subsample=True))) is None
    few = [SimulatedTrial(1, 0, None)]  # most of the time is in the features, which remain
    assert suggest_subsample(large._replace(remaining=few)) is None


def test_a_time_budget_is_suggested_for_long_trials() -> None:
    plan = made_plan(REMAINING * 400)
    suggestion = suggest_budget(plan)
    assert suggestion is not None
    assert (suggestion.parameter, suggestion.value) == ("time_budget", "1h")
    assert suggestion.seconds == pytest.approx(3600 + retraining_seconds(plan))
    assert suggestion.instead_of == pytest.approx(plan.seconds + retraining_seconds(plan))
    assert len(plan.remaining) > len(plan.trials_within(3600)) > len(plan.remaining) / 4
    assert suggest_budget(made_plan(REMAINING)) is None
    assert suggest_budget(plan._replace(forward_passes={224: 500_000})) is None


def test_a_long_search_names_the_option_that_can_shorten_it_and_by_how_much(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = made_plan(REMAINING * 400)._replace(images=(10_000, 2_000))
    for is_resumed, option in ((False, "--search-images 1000"), (True, "--time-budget 1h")):
        suggest(long, Display(option_name), is_resumed=is_resumed)
        printed = capsys.readouterr().err
        assert printed.startswith(f"With {option}, search and retraining together would take about")
        assert ("fit into the time budget of 1 h 00 min" in printed) == is_resumed


@pytest.mark.slow
def test_the_plan_of_a_subsample_has_the_features_that_the_retraining_computes(
    slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    study, recorder = StudyFolder(tmp_path / "runs" / "s"), Recorder()
    options = small_options(slabs, search_images=12, max_epochs=2, seed=2)
    plan = plan_search(options, study, recorder)
    assert recorder.messages[-1].startswith("Retraining the best trial afterwards: about ")
    # 2 views of 20 images and 7 of 4; 4 images of validation and of test are predicted.
    assert recorder.messages[-1].endswith("76 forward passes, 2 epochs on 20 images, test on 4).")
    assert (plan.retraining.subsample, plan.retraining.forward_passes) == (True, {32: 68})
    run_search(options, study, Recorder())
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("view-*")}
    again = Recorder()
    retrain(study, again)
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("view-*")}
    assert before.items() < after.items()
    computed = [n for name, n in again.counted.items() if name.startswith("features of ")]
    predicted = [n for name, n in again.counted.items() if name.startswith("predicting ")]
    assert sum(computed) + sum(predicted) == 76
    other = plan_search(options, StudyFolder(tmp_path / "runs" / "other"), Recorder())
    assert other.retraining.forward_passes[32] < 68  # what the retraining stored


def test_a_simulated_schedule_has_the_trials_of_the_search(whole: Search) -> None:
    simulated = simulate_schedule(whole.options, [])
    assert [trial.epochs for trial in simulated] == [record.epochs for record in whole.records]
    first = [n for n, record in enumerate(whole.records) if record.parent is None]
    assert [simulated[n].depth for n in first] == [
        whole.records[n].hyperparameters["unfreeze_depth"] for n in first
    ]


def test_a_simulated_schedule_leaves_out_completed_trials(whole: Search) -> None:
    left = simulate_schedule(whole.options, whole.records[:4])
    assert [(t.epochs, t.depth) for t in left] == [
        (r.epochs, r.hyperparameters["unfreeze_depth"]) for r in whole.records[4:]
    ]
    assert simulate_schedule(whole.options, whole.records) == []


@pytest.mark.parametrize(("algorithm", "depths"), [("random", {0, 1}), ("bayesian", {None})])
def test_other_algorithms_are_simulated_too(
    algorithm: str, depths: set[int | None], slabs: Path
) -> None:
    simulated = simulate_schedule(small_options(slabs, algorithm=algorithm, trials=9), [])
    assert {trial.depth for trial in simulated} == depths
    assert [trial.epochs for trial in simulated] == [3] * 9


def test_a_plan_counts_the_work_of_the_search(
    whole: Search, slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    options, recorder = small_options(slabs), Recorder()
    plan = plan_search(options, StudyFolder(tmp_path / "runs" / "planned"), recorder)
    assert len(plan.remaining) == TRIALS
    # Validation images unaugmented and under six shifts.
    assert (plan.images, plan.forward_passes) == ((20, 4), {32: 2 * 20 + 7 * 4})
    assert all(seconds > 0 for seconds in plan.times.training.values())
    assert (
        f"Plan: {TRIALS} trials, 12 epochs, 20 training and 4 validation images."
        in recorder.messages
    )
    assert any("68 forward passes through VGG16" in message for message in recorder.messages)
    assert not (tmp_path / "runs").exists()
    assert not list((tmp_path / "cache").rglob("*.npy"))
    run_search(options, StudyFolder(tmp_path / "runs" / "first"), Recorder())
    stored = sum(p.stat().st_size for p in (tmp_path / "cache").rglob("*.npy"))
    assert stored == pytest.approx(plan.features.bytes, abs=128 * 20)  # numpy's headers
    again = plan_search(options, StudyFolder(tmp_path / "runs" / "second"), recorder)
    assert again.forward_passes == {32: 0}
    assert any("all features are stored" in message for message in recorder.messages)


def test_a_search_out_of_time_has_a_best_trial_and_can_be_resumed(
    whole: Search, slabs: Path, tmp_path: Path
) -> None:
    study, recorder = StudyFolder(tmp_path / "s"), Recorder()
    best = run_search(small_options(slabs), study, recorder, time_budget=0.001)
    assert [r.trial for r in study.trials()] == ["0000"]
    assert best.trial == "0000"
    manifest = study.manifest()
    assert (manifest.state, manifest.stopped) == ("finished", "time budget")
    assert f"1 of {TRIALS} trials: the time budget is used up." in recorder.messages
    run_search(small_options(slabs), study, Recorder(), resume=True)
    assert without_times(study.trials()) == whole.records
    assert study.manifest().stopped is None


def test_a_time_budget_in_which_no_trial_would_start_is_refused(
    slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    study = StudyFolder(tmp_path / "runs" / "s")
    with pytest.raises(UsageError, match="a time budget of 0 s is too short") as caught:
        run_search(small_options(slabs), study, Recorder(), time_budget=0.001)
    assert "68 forward passes" in caught.value.expected
    assert not study.path.exists()
    made_plan(REMAINING).ensure_features_within(53)
    with pytest.raises(UsageError, match="Expected more than 2 s for reading"):
        made_plan(REMAINING, elapsed=2).ensure_features_within(53)


def test_a_trial_in_which_the_time_ends_is_discarded(slabs: Path, tmp_path: Path) -> None:
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


def test_a_subsample_is_searched_and_all_images_are_retrained_on(
    slabs: Path, tmp_path: Path
) -> None:
    study, recorder = StudyFolder(tmp_path / "s"), Recorder()
    options = small_options(slabs, search_images=12, max_epochs=1)
    run_search(options, study, recorder)
    manifest = study.manifest()
    assert manifest.images == {"train": 20, "validation": 4, "test": 4}
    assert manifest.searched == {"train": 10, "validation": 2}
    assert recorder.counted["features of train at 32 pixels"] == 10
    again = Recorder()
    metrics = retrain(study, again)
    assert again.counted["training"] == 20
    assert metrics.test.images == 4
    assert run_search(options, study, Recorder(), resume=True).trial == metrics.trial


def test_a_dry_run_prints_the_plan_and_leaves_nothing(
    slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = ["search", "--data", str(slabs), "--image-size", "32", "--max-epochs", "3"]
    assert run([*typed, "--dry-run", "--time-budget", "1s"]) == ExitCode.OK
    out, err = capsys.readouterr()
    assert out == ""
    assert f"Plan: {TRIALS} trials" in err
    assert "Estimated time: " in err
    assert "fit into the time budget of 1 s." in err
    assert not list(tmp_path.iterdir())


def test_a_time_budget_has_hours_minutes_or_seconds() -> None:
    assert parse_budget("2h") == 7200
    assert parse_budget("1h30m") == 5400
    assert parse_budget("90M") == 5400
    assert parse_budget("45s") == 45
    for wrong in ("", "0h", "2", "2d", "-1h", "h", "1.5h"):
        with pytest.raises(UsageError, match="is not a duration"):
            parse_budget(wrong)
