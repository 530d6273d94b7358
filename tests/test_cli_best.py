"""`study best` on a small study: retraining, test, export, and interruption."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace
from PIL import Image
from small_study import Recorder, Search, copied

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.batches import image_batches
from concrete_study.datasets.errors import DataError, StudyStateError
from concrete_study.datasets.splits import read_split
from concrete_study.results.calibration import Scaling
from concrete_study.results.evaluation import evaluate, read_predictions
from concrete_study.results.folder import StudyFolder
from concrete_study.results.objectives import OBJECTIVES
from concrete_study.search.images import reopen_data
from concrete_study.study.retraining import SAVED_TRAINING, retrain

FILES = {
    "metrics.json",
    "predictions.csv",
    "validation.csv",
    "model.keras",
    "saved_model",
    "model-card.md",
    "curves.png",
    "confusion-matrix.png",
    "summary.txt",
    "illustrations",
    "scratch.json",
}


@pytest.fixture
def study(whole: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    """A copy of the small study as `runs/small`, not yet retrained."""
    return copied(whole.study, tmp_path, monkeypatch)


@pytest.fixture
def fast(retrained: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    """A copy of the small study as `runs/small`, after `best`."""
    return copied(retrained, tmp_path, monkeypatch)


@pytest.mark.slow
def test_the_best_trial_is_retrained_tested_once_and_exported(
    study: StudyFolder, whole: Search, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["best", "--export", "--scratch"]) == ExitCode.OK
    out, err = capsys.readouterr()
    assert "Test accuracy" in out
    assert "best epoch" in out
    assert "phase 1 epoch" in err
    assert {path.name for path in study.best_path.iterdir()} == FILES

    metrics = study.metrics()
    assert metrics is not None
    assert metrics.trial == whole.best.trial
    predictions = read_predictions(study.predictions_path)
    assert metrics.test == evaluate(predictions, ["Negative", "Positive"])
    groups = {row.file: row.group for row in read_split(study.split_path)}
    assert predictions["group"].tolist() == [groups[file] for file in predictions["file"]]
    assert len(study.manifest().test_opened) == 1
    assert max(metrics.exports.values()) < 1e-4
    assert metrics.backbone_parameters == 14_714_688
    predicts_again(study)

    assert run(["best", "small"]) == ExitCode.OK
    shown, log = capsys.readouterr()
    assert "Test accuracy" in shown
    assert out.startswith(shown)
    assert "From random weights: val_loss" in out.removeprefix(shown)
    assert "stored result" in log
    assert run(["best", "small", "--epochs", "2"]) == ExitCode.USAGE
    assert "--retrain" in capsys.readouterr().err
    assert len(study.manifest().test_opened) == 1
    reported(study)


def reported(study: StudyFolder) -> None:
    """The report shows what needs TensorFlow: augmented views, overlays, summaries, scratch."""
    assert run(["report", "small"]) == ExitCode.OK
    folder = study.path / "report"
    views = study.manifest().features.views
    assert len(list((folder / "images").glob("view-*.jpg"))) == 2 * views
    names = ("least-confident-*.jpg", "misclassified-*.jpg")
    shown = [path for name in names for path in (folder / "images").glob(name)]
    assert len(shown) == 4
    assert {Image.open(path).size for path in shown} == {(320, 160)}
    page = (folder / "report.md").read_text()
    assert "Grad-CAM" in page
    assert "of the 13 convolution layers at their random initialization" in page
    assert page.count("Total params") == 2
    curves = pd.read_csv(folder / "figures" / "training-loss.csv").groupby("weights")["val_loss"]
    pretrained, random = (curves.get_group(name).to_numpy() for name in ("pretrained", "random"))
    assert len(pretrained) == len(random)
    assert (pretrained != random).all()
    measures = pd.read_csv(folder / "tables" / "transfer.csv").set_index(["measure", "weights"])
    start = measures["start"][OBJECTIVES["val_accuracy"].label]
    assert start["difference"] == pytest.approx(start["pretrained"] - start["random"])


def predicts_again(study: StudyFolder) -> None:
    """The exported model gives the stored predictions, those of the calibrated best epoch."""
    manifest = study.manifest()
    test = reopen_data(study, manifest).subset("test")
    images, _ = next(image_batches(test, size=32, batch_size=len(test)))
    model = keras.models.load_model(study.best_path / "model.keras")
    table = read_predictions(study.predictions_path)
    stored = table[table["checkpoint"] == "calibrated"][["p_Negative", "p_Positive"]].to_numpy()
    np.testing.assert_allclose(model(images, training=False).numpy(), stored, atol=1e-5)


@pytest.mark.slow
def test_a_stored_result_is_exported_later_format_by_format(
    fast: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["best", "small"]) == ExitCode.OK
    assert run(["best", "small", "--export", "--format", "onnx"]) == ExitCode.OK
    assert run(["best", "small", "--export", "--format", "saved-model"]) == ExitCode.OK
    metrics = fast.metrics()
    assert metrics is not None
    assert metrics.exports.keys() == {"model.keras", "model.onnx", "saved_model"}
    assert len(metrics.test_opened) == 1
    assert run(["best", "small", "--epochs", "2"]) == ExitCode.USAGE
    assert "trained for 3 epochs on stored features" in capsys.readouterr().err


def test_retraining_again_reports_that_the_test_split_was_evaluated_twice(
    fast: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in ([], ["--retrain", "--epochs", "2"]):
        assert run(["best", "small", *arguments]) == ExitCode.OK
    assert "evaluated 2 times" in capsys.readouterr().out
    metrics = fast.metrics()
    assert metrics is not None
    assert (metrics.epochs, metrics.views) == (2, "stored")


class Interrupted(Recorder):
    """Interrupts at the start of the evaluation, like a cluster at its time limit."""

    @contextmanager
    def counting(
        self, description: str, total: int, unit: str = "images"
    ) -> Iterator[Callable[[int], None]]:
        with super().counting(description, total, unit) as done:
            if description == "predicting test":
                raise KeyboardInterrupt
            yield done


def test_a_better_trial_found_later_is_logged_and_scratch_uses_the_retrained_one(
    fast: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["best", "small"]) == ExitCode.OK
    metrics = fast.metrics()
    assert metrics is not None
    best = next(record for record in fast.trials() if record.trial == metrics.trial)
    fast.write_trial(replace(best, trial="0099", score=-1.0, metrics=best.metrics))
    capsys.readouterr()
    assert run(["best", "small", "--scratch"]) == ExitCode.OK
    _, err = capsys.readouterr()
    assert f"is of trial {metrics.trial}; the resumed search" in err
    assert "better one, trial 0099" in err
    scratch = fast.scratch()
    assert scratch is not None
    assert scratch.trial == metrics.trial
    for format, mark in (("table", "no"), ("json", '"test_of_best_trial": false')):
        assert run(["list", "--format", format]) == ExitCode.OK
        assert mark in capsys.readouterr().out
    assert run(["show", "small"]) == ExitCode.OK
    note = f"the test result is of trial {metrics.trial}, but trial 0099 is the best now"
    assert note in capsys.readouterr().out


def test_a_format_without_export_is_an_error(
    study: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["best", "small", "--format", "onnx"]) == ExitCode.USAGE
    assert "--format needs --export" in capsys.readouterr().err
    assert study.metrics() is None


def test_a_finished_training_is_not_repeated(study: StudyFolder) -> None:
    with pytest.raises(KeyboardInterrupt):
        retrain(study, Interrupted(), fresh_views=False)
    assert not study.best_path.exists()
    assert (study.path / SAVED_TRAINING).exists()
    log = Recorder()
    metrics = retrain(study, log, fresh_views=False)
    assert log.epochs == []
    assert len(metrics.test_opened) == 2
    assert study.metrics() == metrics
    assert not (study.path / SAVED_TRAINING).exists()


def test_calibration_is_reported_and_can_be_declined(
    study: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["best", "small"]) == ExitCode.OK
    assert "Calibration: " in capsys.readouterr().out
    metrics = study.required_metrics()
    assert metrics.calibration is not None
    assert metrics.calibration.temperature >= 1
    for name, scores in metrics.calibration.before.items():
        assert metrics.calibration.after[name].accuracy == scores.accuracy
    table = read_predictions(study.predictions_path).set_index("checkpoint")
    columns = ["p_Negative", "p_Positive"]
    before, after = (table.loc[name, columns].to_numpy(float) for name in ("best", "calibrated"))
    scaling = Scaling(1 / metrics.calibration.temperature, (0.0, 0.0))
    np.testing.assert_allclose(scaling.apply(before), after, atol=1e-5)
    assert run(["best", "small", "--no-calibrate"]) == ExitCode.USAGE
    assert "and calibrated" in capsys.readouterr().err
    assert run(["best", "small", "--no-calibrate", "--retrain"]) == ExitCode.OK
    declined = study.required_metrics()
    assert declined.calibration is None
    assert list(declined.test.checkpoints)[-1] == "best"
    assert declined.test.checkpoints["best"] == metrics.test.checkpoints["best"]


def test_an_unfinished_search_is_an_error(study: StudyFolder) -> None:
    study.write_manifest(replace(study.manifest(), state="interrupted"))
    with pytest.raises(StudyStateError, match="not finished"):
        retrain(study, Recorder())


def test_changed_images_are_an_error(study: StudyFolder, tmp_path: Path) -> None:
    manifest = study.manifest()
    copy = tmp_path / "copy"
    shutil.copytree(manifest.data[""], copy)
    next((copy / "Positive").iterdir()).unlink()
    study.write_manifest(replace(manifest, data={"": str(copy)}))
    with pytest.raises(DataError, match="have changed"):
        retrain(study, Recorder())
    assert study.metrics() is None
    assert study.manifest().test_opened == []
