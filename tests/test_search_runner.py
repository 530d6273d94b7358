import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from msgspec.structs import replace
from small_records import write_study
from small_study import (
    SPACE,
    TRIALS,
    Recorder,
    Search,
    searched,
    small_options,
    without_times,
)

from concrete_study.datasets.errors import DataError, SearchError, StudyStateError, UsageError
from concrete_study.models.configuration import Configuration
from concrete_study.results.folder import StudyFolder
from concrete_study.results.hyperparameters import Dimension
from concrete_study.results.objectives import DEFAULT_OBJECTIVE
from concrete_study.results.records import TrialRecord
from concrete_study.results.trials import best_trial
from concrete_study.search import trial_run
from concrete_study.search.cross_validation import cross_validate
from concrete_study.search.runner import run_search
from concrete_study.search.space import configuration_of

# Depth 1 at an RMSprop rate of 1e30 overflows float32 in its first step; depth 0 is at ease.
DIVERGING = SPACE | {
    "dropout": Dimension(choices=(0.0,)),
    "head_learning_rate": Dimension(choices=(1e-3,)),
    "fine_tune_learning_rate": Dimension(choices=(1e30,)),
}


def test_a_search_runs_its_plan_and_keeps_every_trial(whole: Search) -> None:
    records = whole.study.trials()
    assert [r.trial for r in records] == [f"{n:04}" for n in range(TRIALS)]
    assert {r.status for r in records} == {"completed"}
    assert sorted(r.epochs for r in records) == [1, 1, 1, 3, 3, 3]
    assert all(len(r.curve) == r.epochs for r in records)
    assert all(r.metrics["val_loss"] == r.score for r in records)
    assert whole.best == best_trial(records, whole.options)
    assert whole.best.epochs == 3
    assert whole.study.table_path.read_text().count("\n") == TRIALS + 1


def test_the_default_objective_is_the_loss_under_shifts(slabs: Path, tmp_path: Path) -> None:
    found = searched(slabs, tmp_path / "s", max_epochs=1, objective=DEFAULT_OBJECTIVE)
    records = found.study.trials()
    assert {record.metrics["val_shifted_loss"] == record.score for record in records} == {True}
    assert all(
        record.metrics["val_shifted_loss"] != record.metrics["val_loss"] for record in records
    )
    assert all(0 <= record.metrics["val_shifted_roc_auc"] <= 1 for record in records)
    assert found.best.score == min(record.score or 9 for record in records)


def test_a_trial_at_depth_0_stays_in_phase_1_and_others_halve_their_epochs(whole: Search) -> None:
    for record in whole.records:
        deep = float(record.hyperparameters["unfreeze_depth"]) > 0 and record.epochs == 3
        assert [e.phase for e in record.curve] == ([1, 1, 2] if deep else [1] * record.epochs)


def test_progress_is_reported_once(whole: Search) -> None:
    recorder = whole.recorder
    assert recorder.planned == (TRIALS, 12, 0)
    assert recorder.started == [trial.trial for trial, _ in recorder.done]
    assert len(recorder.done) == TRIALS
    assert len(recorder.epochs) == 12
    assert recorder.counted["reading images"] == 28
    assert recorder.done[-1][1] == whole.best
    assert [note for note in recorder.messages if "Precision: float32" in note]


def test_the_manifest_has_options_data_environment_and_state(whole: Search) -> None:
    manifest = whole.study.manifest()
    assert manifest.options == whole.options
    assert manifest.state == "finished"
    assert manifest.finished is not None
    assert manifest.finished > manifest.created
    assert manifest.classes == ["Negative", "Positive"]
    assert manifest.images == {"train": 20, "validation": 4, "test": 4}
    assert manifest.planned_trials == TRIALS
    assert manifest.precision == "float32"
    assert manifest.test_opened == []
    assert len(manifest.fingerprint) == 64
    assert manifest.seconds > 0
    assert {"python", "keras", "keras-tuner", "tensorflow"} <= manifest.versions.keys()


def test_no_network_is_written(whole: Search) -> None:
    files = [path for path in whole.study.path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".csv", ".png", ""}
    assert sum(path.stat().st_size for path in files) < 200_000


def test_the_same_seed_gives_the_same_trials_and_scores(
    whole: Search, slabs: Path, tmp_path: Path
) -> None:
    again = searched(slabs, tmp_path / "again")
    assert again.records == whole.records
    assert not any("features" in what for what in again.recorder.counted)  # they were there


def test_a_study_is_running_while_its_search_runs(slabs: Path, tmp_path: Path) -> None:
    study = StudyFolder(tmp_path / "live")
    states = []

    class Watcher(Recorder):
        def trial_started(self, trial: TrialRecord) -> None:
            states.append((study.manifest().state, study.manifest().finished))

    run_search(small_options(slabs, max_epochs=1), study, Watcher())
    assert states == [("running", None)]


@pytest.mark.parametrize("objective", ["val_accuracy", "val_macro_f1", "val_average_precision"])
def test_other_objectives_decide_score_and_best_epoch(
    objective: str, slabs: Path, tmp_path: Path
) -> None:
    found = searched(slabs, tmp_path / "s", objective=objective, max_epochs=2)
    for record in found.records:
        scores = [getattr(epoch, objective) for epoch in record.curve]
        assert record.score == max(scores)
        assert record.best_epoch == scores.index(max(scores)) + 1
    assert found.best.score == max(r.score or 0 for r in found.records)


def test_an_objective_that_the_validation_images_leave_undefined_is_refused_at_once(
    slabs: Path, tmp_path: Path
) -> None:
    for label in ("Negative", "Positive"):
        for number, path in enumerate(sorted((slabs / label).iterdir())):
            subset = "val" if number < 3 and label == "Positive" else "train"
            target = tmp_path / "ready" / ("test" if number > 10 else subset) / label / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    progress, study = Recorder(), StudyFolder(tmp_path / "s")
    options = small_options(tmp_path / "ready", objective="val_roc_auc")
    with pytest.raises(UsageError, match="val_roc_auc is undefined") as caught:
        run_search(options, study, progress)
    assert "all of Positive" in caught.value.expected
    assert not study.path.exists()
    assert "features of train" not in progress.counted


def test_three_classes_are_searched_as_two_are(slabs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "slabs"
    for number, path in enumerate(sorted(slabs.rglob("*.jpg"))):
        target = folder / "ABC"[number % 3] / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_stem(f"{path.parent.name}-{path.stem}").write_bytes(path.read_bytes())
    found = searched(folder, tmp_path / "s", max_epochs=2)
    assert found.study.manifest().classes == ["A", "B", "C"]
    assert found.best.score is not None
    assert 0 < found.best.score < 20


def test_a_diverging_trial_of_a_grid_is_failed_and_the_others_count(
    slabs: Path, tmp_path: Path
) -> None:
    space = DIVERGING | {"unfreeze_depth": Dimension(choices=(0, 1))}
    found = searched(slabs, tmp_path / "s", algorithm="grid", max_epochs=2, space=space)
    completed, failed = sorted(found.records, key=lambda record: record.status)
    assert (completed.status, failed.status) == ("completed", "failed")
    assert found.best.trial == completed.trial
    assert failed.hyperparameters["unfreeze_depth"] == 1
    assert failed.score is None
    assert "diverged in epoch 2" in failed.message
    assert [epoch.epoch for epoch in failed.curve] == [1]
    assert np.isfinite(completed.score or np.nan)


@pytest.mark.parametrize(
    ("count", "problem"), [(3, "Three trials in a row failed"), (2, "No trial is completed")]
)
def test_a_search_in_which_all_diverge_ends_with_an_error_also_on_resume(
    count: int, problem: str, slabs: Path, tmp_path: Path
) -> None:
    rates = tuple(1e-3 * (number + 1) for number in range(count))
    space = DIVERGING | {
        "unfreeze_depth": Dimension(choices=(1,)),
        "head_learning_rate": Dimension(choices=rates),
    }
    options = small_options(slabs, algorithm="grid", max_epochs=2, space=space)
    study = StudyFolder(tmp_path / "s")
    for resume in (False, True):
        with pytest.raises(SearchError, match=problem) as caught:
            run_search(options, study, Recorder(), resume=resume)
        assert "training diverged in epoch 2" in caught.value.expected
        assert [record.status for record in study.trials()] == ["failed"] * count
        assert study.manifest().state == "failed"


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        MemoryError("Unable to allocate 9 GiB"),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating 9 GiB.\nDetails"),
    ],
    ids=["main-memory", "device"],
)
def test_a_trial_without_memory_is_failed_and_replaced_also_on_resume(
    whole: Search, slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    too_large = configuration_of(whole.records[1].hyperparameters)

    def train(network: object, configuration: Configuration, *given: Any, **named: Any) -> Any:
        if configuration == too_large:
            raise fault
        return cross_validate(network, configuration, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(trial_run, "cross_validate", train)
    found = searched(slabs, tmp_path / "whole")
    failed = [record for record in found.records if record.status == "failed"]
    assert [record.trial for record in failed] == ["0001"]
    assert failed[0].message.startswith("out of memory: ")
    assert failed[0].message.endswith("9 GiB")
    assert [r.epochs for r in found.records if r.status == "completed"] == [
        record.epochs for record in whole.records
    ]
    assert found.study.manifest().planned_trials == TRIALS + 1
    # The same, interrupted after the failure.
    study = StudyFolder(tmp_path / "resumed")
    with pytest.raises(KeyboardInterrupt):
        run_search(found.options, study, Recorder(interrupt_after=2))
    recorder = Recorder()
    run_search(found.options, study, recorder, resume=True)
    assert recorder.planned == (TRIALS + 1, 12, 2)
    assert without_times(study.trials()) == found.records


def test_a_bug_comes_out_as_itself(slabs: Path, tmp_path: Path) -> None:
    class Faulty(Recorder):
        def epoch_done(self, epoch: Any) -> None:
            raise ZeroDivisionError("a bug")

    study = StudyFolder(tmp_path / "s")
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run_search(small_options(slabs, max_epochs=1), study, Faulty())
    assert study.manifest().state == "failed"
    assert study.trials() == []


def test_changed_images_are_refused_on_resume(slabs: Path, tmp_path: Path) -> None:
    copy = tmp_path / "slabs"
    subprocess.run(["cp", "-r", str(slabs), str(copy)], check=True)
    found = searched(copy, tmp_path / "s", max_epochs=1)
    before = found.study.manifest()
    first, second = sorted((copy / "Positive").iterdir())[:2]
    first.write_bytes(second.read_bytes())
    with pytest.raises(StudyStateError, match="images of study s have changed"):
        run_search(found.options, found.study, Recorder(), resume=True)
    assert found.study.manifest() == before


def test_an_existing_study_is_not_resumed_by_default_nor_with_other_options(
    whole: Search, slabs: Path
) -> None:
    with pytest.raises(StudyStateError, match="exists"):
        run_search(whole.options, whole.study, Recorder())
    with pytest.raises(StudyStateError, match="other options"):
        run_search(small_options(slabs, batch_size=4), whole.study, Recorder(), resume=True)
    assert without_times(whole.study.trials()) == whole.records


def test_changed_weights_are_refused_on_resume(slabs: Path, tmp_path: Path) -> None:
    found = searched(slabs, tmp_path / "s", max_epochs=1, weights="none")
    manifest = found.study.manifest()
    found.study.write_manifest(replace(manifest, weights_sha256="0" * 64))
    with pytest.raises(StudyStateError, match="weights of study s have changed"):
        run_search(found.options, found.study, Recorder(), resume=True)


@pytest.mark.parametrize(
    ("change", "error"),
    [({"data": ("/nowhere",)}, DataError), ({"weights": "/nowhere.weights.h5"}, UsageError)],
)
def test_overwriting_removes_nothing_before_images_and_weights_are_read(
    change: dict[str, Any], error: type[Exception], slabs: Path, tmp_path: Path
) -> None:
    study = StudyFolder(tmp_path / "s")
    write_study(study)
    with pytest.raises(error):
        run_search(small_options(slabs, **change), study, Recorder(), overwrite=True)
    assert study.manifest().state == "finished"
    with pytest.raises(error):
        run_search(small_options(slabs, **change), StudyFolder(tmp_path / "new"), Recorder())
    assert not (tmp_path / "new").exists()


def test_overwriting_replaces_the_whole_study(slabs: Path, tmp_path: Path) -> None:
    study = StudyFolder(tmp_path / "s")
    write_study(study)
    study.best_path.mkdir()
    options = small_options(slabs, max_epochs=1)
    run_search(options, study, Recorder(), overwrite=True)
    assert study.manifest().options == options
    assert not study.best_path.exists()
    assert json.loads((study.trials_path / "0000.json").read_text())["status"] == "completed"
