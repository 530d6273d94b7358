"""Class weights of imbalanced images, from the search to the retraining."""

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace
from small_study import Recorder, Search, searched

from concrete_study.study.saved_training import TrainingFile
from concrete_study.study.trial_training import TrialTraining


@pytest.fixture(scope="module")
def imbalanced(slabs: Path, tmp_path_factory: pytest.TempPathFactory) -> Search:
    """A search of one trial on 14 images of one class and 7 of the other."""
    folder = tmp_path_factory.mktemp("imbalanced")
    shutil.copytree(slabs, folder / "images")
    for path in sorted((folder / "images" / "Positive").iterdir())[::2]:
        path.unlink()
    one = {"algorithm": "random", "trials": 1, "max_epochs": 2}
    return searched(folder / "images", folder / "study", **one)


def test_imbalanced_images_are_weighted_and_the_plan_says_so(imbalanced: Search) -> None:
    assert imbalanced.study.manifest().class_weight == "balanced"
    assert any(line.startswith("Class weights: balanced") for line in imbalanced.recorder.messages)


def test_retraining_weights_classes_as_the_trial_did(imbalanced: Search, tmp_path: Path) -> None:
    study, losses = imbalanced.study, []
    for rule in ("balanced", "none"):
        manifest = replace(study.manifest(), class_weight=rule)
        job = TrialTraining(study, manifest, Recorder(), epochs=None, views="stored")
        curve = job.train(TrainingFile(tmp_path / f"{rule}.npz", job.key)).curve
        losses.append([epoch.val_loss for epoch in curve])
    trained = [epoch.val_loss for epoch in imbalanced.best.curve]
    assert losses[0] == pytest.approx(trained, rel=1e-6)
    assert losses[1] != pytest.approx(trained, rel=1e-6)


def test_balanced_images_are_not_weighted(whole: Search) -> None:
    assert whole.study.manifest().class_weight == "none"
