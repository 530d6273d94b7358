"""An interrupted `study best` keeps its epochs and continues bit for bit."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from small_study import Recorder, Search, kill_once, mounted_disk

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.results.folder import StudyFolder
from concrete_study.study import retraining
from concrete_study.study.retraining import SAVED_TRAINING, retrain
from concrete_study.study.saved_training import TrainingFile

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
EPOCHS = 8  # 4 on the head, 4 of fine-tuning


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def copied(whole: Search, runs: Path) -> StudyFolder:
    shutil.copytree(whole.study.path, runs / "small")
    return StudyFolder(runs / "small")


@pytest.fixture(scope="module")
def uninterrupted(whole: Search, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    study = copied(whole, tmp_path_factory.mktemp("uninterrupted") / "runs")
    retrain(study, Recorder(), epochs=EPOCHS, fresh_views=True)
    return study


def assert_same(study: StudyFolder, other: StudyFolder) -> None:
    one, two = study.required_metrics(), other.required_metrics()
    assert (one.curve, one.best_epoch, one.test) == (two.curve, two.best_epoch, two.test)
    assert study.predictions_path.read_bytes() == other.predictions_path.read_bytes()
    assert not (study.path / SAVED_TRAINING).exists()


def test_a_killed_training_continues_after_its_last_epoch_bit_for_bit(
    whole: Search,
    uninterrupted: StudyFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    study = copied(whole, Path("runs"))
    arguments = ["best", "small", "--fresh-views", "--epochs", str(EPOCHS)]
    kill_once((study.path / SAVED_TRAINING).exists, arguments)
    assert not study.best_path.exists()
    assert run(arguments) == ExitCode.OK
    assert f"of {EPOCHS}.\n" in capsys.readouterr().err.partition("Continuing after epoch ")[2]
    assert_same(study, uninterrupted)


class Interrupted(Recorder):
    """Interrupts after some epochs, as Ctrl-C and SIGTERM do."""

    def epoch_done(self, epoch: object) -> None:
        self.epochs.append(epoch)  # type: ignore[arg-type]
        if len(self.epochs) == 5:
            raise KeyboardInterrupt


def test_an_interrupted_training_says_what_is_kept(
    whole: Search, uninterrupted: StudyFolder, tmp_path: Path
) -> None:
    study, log = copied(whole, tmp_path), Interrupted()
    with pytest.raises(KeyboardInterrupt):
        retrain(study, log, epochs=EPOCHS, fresh_views=True)
    assert log.messages[-1] == "5 of 8 epochs are kept; the same command continues after them."
    again = Recorder()
    retrain(study, again, epochs=EPOCHS, fresh_views=True)
    assert "Continuing after epoch 5 of 8." in again.messages
    assert [epoch.epoch for epoch in again.epochs] == [6, 7, 8]
    assert_same(study, uninterrupted)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 40 MB, enough for one file of a fine-tuning (28 MB)."""
    with mounted_disk(tmp_path / "disk", "40m") as folder:
        yield folder


def test_a_full_disk_keeps_the_epochs_before(
    whole: Search,
    uninterrupted: StudyFolder,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(small_disk)
    study = copied(whole, Path("runs"))
    arguments = ["best", "small", "--fresh-views", "--epochs", str(EPOCHS)]
    assert run(arguments) == ExitCode.RESOURCES
    assert "Error: No disk space for the retrained model" in capsys.readouterr().err
    monkeypatch.setattr(retraining, "require_room", lambda *given: None)
    assert run(arguments) == ExitCode.RESOURCES
    error = capsys.readouterr().err
    assert "Error: No disk space left" in error
    assert "of 8 epochs are kept; the same command continues" in error
    assert not study.best_path.exists()
    remount = ["mount", "-o", "remount,size=300m", str(small_disk)]
    subprocess.run(remount, check=True)
    monkeypatch.undo()
    monkeypatch.chdir(small_disk)
    assert run(arguments) == ExitCode.OK
    assert_same(study, uninterrupted)


def test_space_is_checked_before_the_training(
    whole: Search,
    uninterrupted: StudyFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    study = copied(whole, Path("runs"))
    written = sum(f.stat().st_size for f in uninterrupted.best_path.rglob("*") if f.is_file())
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, written))
    assert run(["best", "small"]) == ExitCode.RESOURCES
    error = capsys.readouterr().err
    assert "Try: free some space, or fewer export formats." in error
    assert "phase 1 epoch" not in error
    assert list(study.path.glob(".*")) == [study.path / ".lock"]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 3 * written))
    assert TrainingFile(study.path / SAVED_TRAINING, "").load() is None
    assert run(["best", "small"]) == ExitCode.OK
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, written))
    assert run(["best", "small", "--export", "--format", "saved-model"]) == ExitCode.RESOURCES
    assert "No disk space for exports" in capsys.readouterr().err
