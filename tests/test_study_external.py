"""Evaluation on an external test set: other class names, without the study's own images."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from small_study import Recorder, Search, copied, draw_images

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.errors import (
    DataError,
    NotRetrainedError,
    StudyStateError,
    UsageError,
)
from concrete_study.datasets.splits import read_split
from concrete_study.results.diagnosis import diagnosis_text
from concrete_study.results.evaluation import evaluate, read_predictions
from concrete_study.results.folder import StudyFolder
from concrete_study.results.model_folder import ModelFolder
from concrete_study.results.report.scores import evaluation_names
from concrete_study.results.tables import comparison
from concrete_study.study.external import evaluate_external

pytestmark = pytest.mark.slow


@pytest.fixture
def study(retrained: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    return copied(retrained, tmp_path, monkeypatch)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """28 slabs that the study has never seen, under other names of the classes."""
    folder = draw_images(tmp_path / "other slabs", seed=9)
    (folder / "Negative").rename(folder / "Sound")
    (folder / "Positive").rename(folder / "Cracked")
    return folder


MAPPED = {"Sound": "Negative", "Cracked": "Positive"}


def test_an_external_test_set_has_test_scores_and_columns_in_the_comparison(
    study: StudyFolder, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapped = [f"--map={old}={new}" for old, new in MAPPED.items()]
    assert run(["evaluate", "small", "--data", str(other), *mapped]) == ExitCode.OK
    out, _ = capsys.readouterr()
    assert "Test accuracy" in out
    assert "true Positive" in out
    (metrics,) = study.evaluations()
    assert metrics.test.images == 28
    assert metrics.excluded == 0
    (predictions,) = study.evaluations_path.glob("other-slabs-*/predictions.csv")
    stored = read_predictions(predictions)
    assert metrics.test == evaluate(stored, ["Negative", "Positive"])
    assert stored["file"].iloc[0].startswith("Cracked/")
    assert stored["group"].str.len().unique().tolist() == [16]
    assert stored["group"].nunique() == metrics.test.groups
    assert (text := diagnosis_text(metrics.test))
    assert text in " ".join(out.split())
    scores = out[out.index("Test accuracy") : out.index("Results:")]
    assert max(map(len, scores.splitlines())) <= 80
    row = comparison([study]).iloc[0]
    column = f"on_other slabs_{metrics.fingerprint[:4]}"
    assert row[column] == metrics.test.accuracy
    assert row[f"{column}_low"] <= row[column] <= row[f"{column}_high"]
    assert run(["compare", "small", "--format", "json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)[0][column] == row[column]


def test_maps_and_positive_classes_of_one_folder_are_kept_side_by_side(
    study: StudyFolder, other: Path
) -> None:
    swapped = {"Sound": "Positive", "Cracked": "Negative"}
    model = ModelFolder(study)
    first = evaluate_external(model, other, MAPPED, Recorder())
    second = evaluate_external(model, other, swapped, Recorder())
    third = evaluate_external(model, other, MAPPED, Recorder(), positive_class="Negative")
    assert evaluate_external(model, other, MAPPED, Recorder()).folder == first.folder
    assert len({record.folder for record in (first, second, third)}) == 3
    assert first.test.accuracy == pytest.approx(1 - second.test.accuracy)
    assert (first.test.positive_class, third.test.positive_class) == ("Positive", "Negative")
    assert len(study.evaluations()) == 3
    columns = [name for name in map(str, comparison([study])) if name.startswith("on_")]
    assert len(columns) == 9
    assert sorted(evaluation_names(study.evaluations())) == [
        "other slabs (Sound=Negative, Cracked=Positive, positive class Negative)",
        "other slabs (Sound=Negative, Cracked=Positive, positive class Positive)",
        "other slabs (Sound=Positive, Cracked=Negative, positive class Positive)",
    ]


def test_labels_of_an_external_test_set_may_come_from_a_list(
    study: StudyFolder, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_folder = evaluate_external(ModelFolder(study), other, MAPPED, Recorder())
    files = sorted(other.rglob("*.jpg"))
    Path("flat").mkdir()
    rows = ["file,class"]
    for number, path in enumerate(files):
        shutil.copy(path, f"flat/{number:02}.jpg")
        rows.append(f"{number:02}.jpg,{path.parent.name}")
    Path("labels.csv").write_text("\n".join(rows))
    typed = ["evaluate", "small", "--data", "flat", "--labels", "labels.csv"]
    assert run(typed) == ExitCode.USAGE
    assert "--map: class Cracked is not mapped." in capsys.readouterr().err
    assert run([*typed, "--map", "Rusty=Positive"]) == ExitCode.USAGE
    assert "the data has Cracked, Sound." in capsys.readouterr().err
    mapped = [f"--map={old}={new}" for old, new in MAPPED.items()]
    assert run([*typed, *mapped]) == ExitCode.OK
    by_list = next(found for found in study.evaluations() if found.labels)
    assert by_list.test == by_folder.test
    assert by_list.labels == str(Path("labels.csv").resolve())
    rows[1] = rows[1].replace("Cracked", "Sound")
    Path("labels.csv").write_text("\n".join(rows))
    assert run([*typed, *mapped]) == ExitCode.OK
    assert len({found.folder for found in study.evaluations()}) == 3


def test_the_study_s_own_images_are_left_out(study: StudyFolder, other: Path) -> None:
    images = Path(study.manifest().data[""])
    with pytest.raises(DataError, match=r"No image in .* is new to study small"):
        evaluate_external(ModelFolder(study), images, {}, Recorder())
    tested = next(row for row in read_split(study.split_path) if row.subset == "test")
    shutil.copy(images / tested.file, other / "Sound" / "tested.jpg")
    recorder = Recorder()
    metrics = evaluate_external(ModelFolder(study), other, MAPPED, recorder)
    assert (metrics.excluded, metrics.test.images) == (1, 28)
    assert "1 of 29 images excluded: near-duplicates of the study's images." in recorder.messages


def test_a_rotated_training_image_is_left_out(study: StudyFolder, other: Path) -> None:
    trained = next(row for row in read_split(study.split_path) if row.subset == "train")
    image = Image.open(Path(study.manifest().data[""]) / trained.file)
    image.transpose(Image.Transpose.ROTATE_90).save(other / "Sound" / "rotated.png")
    metrics = evaluate_external(ModelFolder(study), other, MAPPED, Recorder())
    assert metrics.excluded == 1
    assert metrics.test.images == 28
    (predictions,) = study.evaluations_path.glob("*/predictions.csv")
    assert "Sound/rotated.png" not in pd.read_csv(predictions)["file"].tolist()


def test_a_folder_with_nothing_new_is_refused(study: StudyFolder, tmp_path: Path) -> None:
    for row in read_split(study.split_path):
        if row.subset == "train":
            (tmp_path / "old" / row.label).mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(study.manifest().data[""]) / row.file, tmp_path / "old" / row.file)
    with pytest.raises(DataError, match=r"No image in .* is new to study small"):
        evaluate_external(ModelFolder(study), tmp_path / "old", {}, Recorder())
    assert study.evaluations() == []


@pytest.mark.parametrize("names", [{}, {"Sound": "Negative"}, MAPPED | {"Sound": "Rusty"}])
def test_classes_that_are_not_the_study_s_are_refused(
    names: dict[str, str], study: StudyFolder, other: Path
) -> None:
    wrong = "Sound=Rusty is not valid" if "Rusty" in names.values() else "is not mapped"
    with pytest.raises(UsageError, match=rf"{wrong}\.\nExpected the study's classes Negative"):
        evaluate_external(ModelFolder(study), other, names, Recorder())


def test_a_map_of_an_unknown_folder_is_refused(study: StudyFolder, other: Path) -> None:
    with pytest.raises(UsageError, match=r"Rusty=Positive is not valid\.\n.*has Cracked, Sound"):
        evaluate_external(ModelFolder(study), other, MAPPED | {"Rusty": "Positive"}, Recorder())


def test_a_study_without_a_retrained_model_is_refused(
    whole: Search, other: Path, tmp_path: Path
) -> None:
    with pytest.raises(NotRetrainedError, match="study whole has no retrained model"):
        evaluate_external(ModelFolder(whole.study), other, MAPPED, Recorder())


def test_a_study_in_use_is_not_evaluated(study: StudyFolder, other: Path) -> None:
    with study.lock(), pytest.raises(StudyStateError, match="in use by another process"):
        evaluate_external(ModelFolder(study), other, MAPPED, Recorder())
    assert study.evaluations() == []


@pytest.mark.parametrize("typed", [["Cracked"], ["A=B", "A=C"]])
def test_an_invalid_map_is_refused(
    typed: list[str], study: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [part for one in typed for part in ("--map", one)]
    assert run(["evaluate", "small", "--data", ".", *arguments]) == ExitCode.USAGE
    assert "Expected FOLDER=CLASS" in capsys.readouterr().err
