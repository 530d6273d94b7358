"""`study baseline`: the reference recipe on the images of another study."""

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace
from small_study import Search

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.splits import read_split
from concrete_study.results.folder import StudyFolder

pytestmark = pytest.mark.slow


@pytest.fixture
def runs(whole: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(whole.study.path, tmp_path / "runs" / "small")
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("typed", "name"), [([], "small-baseline"), (["--weights", "none"], "small-baseline-scratch")]
)
def test_the_baseline_is_one_trial_of_the_reference_recipe_on_the_same_split(
    typed: list[str], name: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["--image-size", "32", *typed]
    assert run(["baseline", "small", *typed]) == ExitCode.OK
    study, other = StudyFolder(runs / name), StudyFolder(runs / "small")
    (trial,) = study.trials()
    assert trial.hyperparameters == {
        "head_units": 0,
        "dropout": 0.3,
        "unfreeze_depth": 3,
        "head_learning_rate": 5e-5,
        "fine_tune_learning_rate": 1e-5,
        "image_size": 32,
        "feature_layers": "block5",
        "feature_scaling": "none",
    }
    assert [epoch.phase for epoch in trial.curve] == [1] * 5 + [2] * 5
    assert read_split(study.split_path) == read_split(other.split_path)
    options, others = study.manifest().options, other.manifest().options
    changed = {
        key for key in options.__struct_fields__ if getattr(options, key) != getattr(others, key)
    }
    assert changed <= {"algorithm", "max_epochs", "space", "weights"}
    assert ("weights" in changed) == name.endswith("scratch")
    assert f"Next: study best {name} --export" in capsys.readouterr().out
    assert run(["baseline", "small", *typed]) == ExitCode.STUDY
    assert "exists" in capsys.readouterr().err


def test_changed_images_are_an_error(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = StudyFolder(runs / "small")
    manifest = other.manifest()
    shutil.copytree(manifest.data[""], tmp_path / "fewer")
    next((tmp_path / "fewer" / "Positive").iterdir()).unlink()
    options = replace(manifest.options, data=(str(tmp_path / "fewer"),))
    other.write_manifest(replace(manifest, options=options))
    assert run(["baseline", "small"]) == ExitCode.STUDY
    assert "the images of study small have changed" in capsys.readouterr().err
    assert not (runs / "small-baseline").exists()


def test_without_another_study_no_study_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["baseline"]) == ExitCode.STUDY
    assert run(["baseline", "unknown"]) == ExitCode.STUDY
    assert not list(tmp_path.iterdir())
