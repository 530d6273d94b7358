"""`study predict` and `study explain`: one row per file, thresholds, and Grad-CAM overlays."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_study import Search

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.decoding import decode_image
from concrete_study.datasets.file_kinds import FORMATS
from concrete_study.models.classifier import Classifier
from concrete_study.models.export import KERAS_FILE
from concrete_study.results.evaluation import read_predictions, threshold_for_recall
from concrete_study.results.folder import StudyFolder
from concrete_study.results.images import overlay
from concrete_study.study.prediction import BATCH_SIZE, expand, predict_files

CLASSES = ["Negative", "Positive"]


@pytest.fixture
def study(retrained: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    monkeypatch.chdir(retrained.path.parents[1])
    return retrained


@pytest.fixture(scope="module")
def classifier(retrained: StudyFolder) -> Classifier:
    return Classifier(retrained.best_path / KERAS_FILE)


@pytest.fixture
def mixed(slabs: Path, tmp_path: Path) -> Path:
    """Two images and two files that cannot be read."""
    shutil.copy(slabs / "Negative" / "0000.jpg", tmp_path / "a.jpg")
    shutil.copy(slabs / "Positive" / "0000.jpg", tmp_path / "d.jpg")
    (tmp_path / "b.jpg").write_bytes(b"")
    (tmp_path / "c.jpg").write_text("no image")
    return tmp_path


def test_test_images_get_the_stored_probabilities_of_the_best_epoch(
    study: StudyFolder, slabs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = read_predictions(study.predictions_path)
    stored = table[table["checkpoint"] == "best"]
    files = [str(slabs / file) for file in stored["file"]]
    assert run(["predict", *files, "--format", "csv"]) == ExitCode.OK
    printed = pd.read_csv(io.StringIO(capsys.readouterr().out), keep_default_na=False)
    assert printed["file"].tolist() == files
    for name in CLASSES:
        np.testing.assert_allclose(printed[f"p_{name}"], stored[f"p_{name}"], atol=1e-5)
    assert printed["error"].tolist() == [""] * len(files)


def test_an_unreadable_file_is_a_row_and_not_an_error(
    study: StudyFolder, mixed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", str(mixed), str(mixed / "none.jpg"), "-f", "json"]) == ExitCode.OK
    out, err = capsys.readouterr()
    assert "Model: study small, trial " in err
    assert "2 files classified: " in err
    assert "Warning: 3 of 5 files could not be read" in err
    rows = json.loads(out)
    assert [Path(row["file"]).name[0] for row in rows] == ["a", "b", "c", "d", "n"]
    assert [row["error"] for row in rows[1:3]] == [
        "the file is empty",
        f"not an image of a known format ({', '.join(FORMATS)})",
    ]
    assert "No such file" in rows[4]["error"]
    assert all(row["predicted"] is None for row in rows if row["error"])
    assert all(row["predicted"] in CLASSES for row in rows if not row["error"])

    assert run(["predict", str(mixed)]) == ExitCode.OK
    assert "error     the file is empty  " in capsys.readouterr().out


def test_no_readable_file_is_an_error(
    study: StudyFolder, mixed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", str(mixed / "b.jpg"), "-f", "csv"]) == ExitCode.DATA
    out, err = capsys.readouterr()
    (row,) = csv.DictReader(io.StringIO(out))
    assert row["p_Positive"] == row["predicted"] == ""
    assert "found only files that cannot be read (1)" in err
    (mixed / "folder").mkdir()
    assert run(["predict", str(mixed / "folder"), "-f", "json"]) == ExitCode.DATA
    out, err = capsys.readouterr()
    assert json.loads(out) == []
    assert "Expected images such as JPEG or PNG; found none." in err


def test_folders_patterns_and_standard_input_are_expanded(
    mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [str(mixed / f"{letter}.jpg") for letter in "abcd"]
    (mixed / "notes.txt").touch()
    (mixed / "a").mkdir()
    others = [mixed / "a" / "e.JPG", mixed / "a" / "f.webp"]  # the last one is a fault
    for other in others:
        other.touch()
    assert list(expand([str(mixed)])) == [*names, *map(str, others)]
    assert list(expand([str(mixed / "[ab].jpg")])) == names[:2]
    assert list(expand([str(mixed / "*.bmp")])) == [str(mixed / "*.bmp")]
    monkeypatch.setattr("sys.stdin", io.StringIO("x y.jpg\n\nz.jpg\n"))
    assert list(expand(["-", names[0]])) == ["x y.jpg", "z.jpg", names[0]]


def test_files_are_read_lazily(classifier: Classifier, mixed: Path) -> None:
    taken = []

    def endless() -> object:
        while True:
            taken.append(1)
            yield str(mixed / "a.jpg")

    rows = predict_files(classifier, endless(), CLASSES)  # type: ignore[arg-type]
    for _ in range(3):
        next(rows)
    assert len(taken) == BATCH_SIZE


def test_a_threshold_decides_between_two_classes(
    study: StudyFolder, mixed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for threshold, expected in (("0", "Positive"), ("1", "Negative")):
        typed = [str(mixed / "a.jpg"), "--threshold", threshold, "-f", "json"]
        assert run(["predict", *typed]) == ExitCode.OK
        assert json.loads(capsys.readouterr().out)[0]["predicted"] == expected
    assert run(["predict", "x", "--threshold", "0.5", "--recall", "0.9"]) == ExitCode.USAGE
    assert run(["predict", "x", "--recall", "0"]) == ExitCode.USAGE
    capsys.readouterr()
    assert run(["predict", str(mixed / "a.jpg"), "--recall", "0.999"]) == ExitCode.OK
    _, err = capsys.readouterr()
    assert "on the validation images, recall 100.00% (2 Positive)" in err
    assert "Warning: 2 Positive validation images are too few" in err


def test_a_threshold_reaches_the_recall_and_is_as_high_as_possible() -> None:
    p = [0.9, 0.8, 0.7, 0.6, 0.5, 0.65, 0.1, 0.2]
    truth = ["B"] * 5 + ["A"] * 3
    table = pd.DataFrame({"class": truth, "checkpoint": "best", "p_B": p})
    for recall, value, rate in (
        (1, 0.35, 1 / 3),  # halfway to the next below, which is 0.2
        (0.8, 0.55, 1 / 3),
        (0.6, 0.675, 0),
        (0.01, 0.85, 0),
        (1e-12, 0.85, 0),
    ):
        found = threshold_for_recall(table, ["A", "B"], recall)
        assert found.value == pytest.approx(value)
        assert found.recall >= recall
        assert found.false_positive_rate == pytest.approx(rate)
        assert found.images == 5
    for classes, recall in ((["A", "B"], 0.0), (["A", "B", "C"], 0.5)):
        with pytest.raises(ValueError, match="two classes and a recall"):
            threshold_for_recall(table, classes, recall)


@pytest.mark.parametrize("layer", ["block5_conv3", "block3_conv1"])
def test_a_heat_map_has_the_grid_of_its_layer(
    layer: str, classifier: Classifier, slabs: Path
) -> None:
    image = decode_image(slabs / "Positive" / "0001.jpg", classifier.size)
    heat = classifier.grad_cam(image, 1, layer)
    side = classifier.size // (16 if layer == "block5_conv3" else 4)
    assert heat.shape == (side, side)
    assert heat.min() >= 0
    assert heat.max() in (0, 1)
    drawn = overlay(image, heat)
    assert drawn.size == (classifier.size, classifier.size)
    assert overlay(image, np.zeros((2, 2))).tobytes() == Image.fromarray(image).tobytes()


def test_explain_writes_an_overlay_and_prints_the_class(
    study: StudyFolder, mixed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = mixed.parent / "why" / "a.png"
    assert run(["explain", str(mixed / "a.jpg"), "--output", str(target)]) == ExitCode.OK
    assert f"overlay: {target}" in capsys.readouterr().out
    assert Image.open(target).size == (32, 32)
    assert run(["explain", str(mixed / "b.jpg")]) == ExitCode.DATA
    assert run(["explain", str(mixed / "a.jpg"), "--layer", "dense"]) == ExitCode.USAGE
    assert "Expected one of block1_conv1" in capsys.readouterr().err

    photograph = (mixed / "a.jpg").read_bytes()
    for wrong in (mixed / "a.jpg", target, mixed / "new.txt"):
        assert run(["explain", str(mixed / "a.jpg"), "--output", str(wrong)]) == ExitCode.USAGE
    assert (mixed / "a.jpg").read_bytes() == photograph

    assert run(["predict", str(mixed), "--explain", str(mixed)]) == ExitCode.USAGE
    assert "Expected a new or empty folder" in capsys.readouterr().err
    assert run(["predict", str(mixed), "--explain", str(mixed / "all")]) == ExitCode.OK
    names = sorted(path.name for path in (mixed / "all").iterdir())
    assert names == ["000000-a.png", "000003-d.png"]


def test_without_a_retrained_model_the_error_suggests_to_retrain(
    whole: Search,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(whole.study.path, tmp_path / "runs" / "fresh")
    assert run(["predict", "x.jpg"]) == ExitCode.STUDY
    assert "study best fresh" in capsys.readouterr().err
