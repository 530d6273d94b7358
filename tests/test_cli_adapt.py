"""`study adapt`: a model of its own for another site, and errors for what cannot be adapted to."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_study import Recorder, Search, draw_images

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.batches import image_batches
from concrete_study.datasets.errors import DataError
from concrete_study.datasets.loading import StudyData
from concrete_study.results.evaluation import final_rows, read_predictions
from concrete_study.results.folder import StudyFolder
from concrete_study.results.model_folder import read_adaptation
from concrete_study.search.images import reopen_data
from concrete_study.study import adaptation
from concrete_study.study.adaptation_methods import HEAD
from concrete_study.study.retraining import retrain

pytestmark = pytest.mark.slow

Captured = pytest.CaptureFixture[str]
COLUMNS = ["p_Negative", "p_Positive"]


@pytest.fixture(scope="module")
def retrained(whole: Search, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("retrained")
    shutil.copytree(whole.study.path, runs / "small")
    retrain(StudyFolder(runs / "small"), Recorder())
    return runs / "small"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """28 darker images of another site, some in 16 bits, one damaged."""
    folder = draw_images(tmp_path_factory.mktemp("sites") / "bridge", seed=11)
    for number, path in enumerate(sorted(folder.rglob("*.jpg"))):
        darker = np.asarray(Image.open(path).convert("L")) // 2
        if number % 2:
            Image.fromarray(darker).save(path)
        else:
            Image.fromarray(darker.astype(np.uint16) * 256).save(path.with_suffix(".png"))
            path.unlink()
    (folder / "Positive" / "damaged.jpg").write_bytes(b"\xff\xd8\xff no image")
    return folder


@pytest.fixture
def study(retrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(retrained, tmp_path / "runs" / "small")
    return StudyFolder(Path("runs/small"))


def assert_predicts_as_stored(study: StudyFolder, site: str) -> None:
    """The adapted model predicts the test images as its `test.csv` has them."""
    path = study.path / "adapted" / site
    test = reopen_data(study, study.manifest()).subset("test")
    images, _ = next(image_batches(test, size=32, batch_size=len(test)))
    model = keras.models.load_model(path / "model.keras")
    stored = final_rows(read_predictions(path / "test.csv"))[COLUMNS].to_numpy(float)
    np.testing.assert_allclose(model(images, training=False).numpy(), stored, atol=1e-4)


def test_the_adapted_model_is_used_by_every_command_that_takes_one(
    study: StudyFolder, site: Path, capsys: Captured
) -> None:
    adapt = ["adapt", "small", "--data", str(site), "--export", "--format", "saved-model"]
    assert run(adapt) == ExitCode.OK
    printed = capsys.readouterr().out
    assert "adapted to bridge by 28 images (14 Negative, 14 Positive" in printed
    record = read_adaptation(study, "bridge")
    assert record.fitted_to.images == 28
    assert record.exports.keys() == {"saved_model"}
    card = (study.path / "adapted" / "bridge" / "model-card.md").read_text()
    assert "28 (14 Negative, 14 Positive), 28 groups" in card
    assert "| 0.990 |" in card
    assert len(record.fitted_to.faults) == 1
    assert set(record.losses) == {"none", "slope and offset", "new head"}
    assert record.site_test is not None
    assert record.site_test.scores.loss.value == pytest.approx(
        record.losses[record.method], rel=0.2
    )
    assert_predicts_as_stored(study, "bridge")
    image = next((site / "Negative").iterdir())
    predict = ["predict", str(image), "--study", "small:bridge", "--format", "csv"]
    assert run(predict) == ExitCode.OK
    out, err = capsys.readouterr()
    assert "Model: study small:bridge" in err
    row = dict(zip(*(line.split(",") for line in out.splitlines()), strict=True))
    model = keras.models.load_model(study.path / "adapted" / "bridge" / "model.keras")
    assert 0 < float(row["p_Positive"]) < 1
    assert model.input_shape == (None, 32, 32, 3)
    assert run([*predict, "--recall", "0.9"]) == ExitCode.OK
    assert "on the site's images, recall" in capsys.readouterr().err
    assert run(["explain", str(image), "--study", "small:bridge"]) == ExitCode.OK
    assert run(["evaluate", "small:bridge", "--data", str(site)]) == ExitCode.OK
    [evaluated] = (study.path / "adapted" / "bridge" / "evaluations").iterdir()
    assert (evaluated / "metrics.json").exists()
    assert study.evaluations() == []
    assert run(["report", "small"]) == ExitCode.OK
    table = pd.read_csv(study.path / "report" / "tables" / "adaptations.csv")
    assert record.site_test is not None
    assert table["loss_after"][0] == record.site_test.checkpoints["adapted"].loss
    assert "Adapted models" in (study.path / "report" / "report.md").read_text()


def test_a_new_head_predicts_as_stored_in_every_export(
    study: StudyFolder, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adaptation, "choose", lambda fits, labels: HEAD)
    adapt = ["adapt", "small", "--data", str(site), "--site", "new", "--export"]
    assert run([*adapt, "--format", "saved-model"]) == ExitCode.OK
    assert read_adaptation(study, "new").method == HEAD
    assert_predicts_as_stored(study, "new")
    image = next((site / "Negative").iterdir())
    assert run(["explain", str(image), "--study", "small:new"]) == ExitCode.OK


def test_without_the_images_of_the_study_slope_and_offset_are_fitted(
    study: StudyFolder, site: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def gone(*arguments: object) -> StudyData:
        raise DataError("an image is gone.")

    monkeypatch.setattr(adaptation, "reopen_data", gone)
    assert run(["adapt", "small", "--data", str(site)]) == ExitCode.OK
    assert "No new head is fitted: an image is gone." in capsys.readouterr().err
    assert set(read_adaptation(study, "bridge").losses) == {"none", "slope and offset"}


def test_unlabelled_images_of_another_kind_are_refused(
    study: StudyFolder, tmp_path: Path, capsys: Captured
) -> None:
    black = tmp_path / "black"
    black.mkdir()
    for number in range(60):
        Image.new("L", (40, 40), number % 3).save(black / f"{number}.png")
    assert run(["adapt", "small", "--data", str(black), "--unlabelled"]) in (
        ExitCode.OK,
        ExitCode.DATA,
    )
    few = tmp_path / "few"
    shutil.copytree(black, few, ignore=lambda folder, names: names[5:])
    assert run(["adapt", "small", "--data", str(few), "--unlabelled"]) == ExitCode.DATA
    assert "5 unlabelled images" in capsys.readouterr().err


def test_too_few_images_one_class_and_known_images_are_refused(
    study: StudyFolder, site: Path, tmp_path: Path, capsys: Captured
) -> None:
    five = tmp_path / "five"
    for name in ("Negative", "Positive"):
        shutil.copytree(site / name, five / name, ignore=lambda folder, names: sorted(names)[3:])
    one = tmp_path / "one"
    shutil.copytree(site / "Positive", one / "Positive")
    own = Path(study.manifest().data[""])
    for folder, expected in (
        (five, "6 labelled images that are new to the study are too few"),
        (one, "found 0 Negative, 14 Positive"),
        (own, "No image in"),
        (tmp_path / "nothing", "nothing"),
    ):
        assert run(["adapt", "small", "--data", str(folder)]) == ExitCode.DATA
        assert expected in capsys.readouterr().err
    assert not (study.path / "adapted").exists()


def test_an_unknown_site_and_a_retrained_study_are_errors(
    study: StudyFolder, site: Path, capsys: Captured
) -> None:
    assert run(["predict", str(site), "--study", "small:bridge"]) == ExitCode.STUDY
    assert "Available sites: none" in capsys.readouterr().err
    assert run(["adapt", "small", "--data", str(site)]) == ExitCode.OK
    assert run(["best", "small", "--retrain"]) == ExitCode.OK
    capsys.readouterr()
    assert run(["predict", str(site), "--study", "small:bridge"]) == ExitCode.STUDY
    assert "was retrained after it was adapted" in capsys.readouterr().err
    assert run(["predict", str(site), "--study", "small:../best"]) == ExitCode.USAGE
