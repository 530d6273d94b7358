"""`study predict` and `study explain`: one row per file, thresholds, and Grad-CAM overlays."""

import csv
import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace
from PIL import Image
from small_study import Search

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.decoding import decode_image
from concrete_study.datasets.file_kinds import FORMATS
from concrete_study.models.classifier import Classifier
from concrete_study.models.export import KERAS_FILE
from concrete_study.results.evaluation import read_predictions
from concrete_study.results.folder import StudyFolder
from concrete_study.results.images import overlay
from concrete_study.results.thresholds import threshold_for_recall
from concrete_study.study.image_paths import expand, refusal
from concrete_study.study.prediction import BATCH_SIZE, _decide, predict_files

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


def test_test_images_get_the_stored_calibrated_probabilities(
    study: StudyFolder, slabs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = read_predictions(study.predictions_path)
    stored = table[table["checkpoint"] == "calibrated"]
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


def test_the_largest_image_is_that_of_the_study_or_given(
    study: StudyFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # set back afterwards
    Image.new("RGB", (1_500, 1_400)).save(tmp_path / "large.png")
    typed = ["predict", str(tmp_path / "large.png"), "--format", "csv"]
    assert run([*typed, "--max-megapixels", "2"]) == ExitCode.DATA
    assert "larger than 2 megapixels" in capsys.readouterr().out
    assert run(typed) == ExitCode.OK
    manifest = study.manifest()
    options = replace(manifest.options, max_megapixels=1.5)
    study.write_manifest(replace(manifest, options=options))
    assert run(typed) == ExitCode.DATA
    assert "larger than 1.5 megapixels" in capsys.readouterr().out
    assert run([*typed, "--max-megapixels", "3"]) == ExitCode.OK
    assert run([*typed, "--max-megapixels", "0"]) == ExitCode.USAGE
    assert "--max-megapixels: 0.0 is not valid." in capsys.readouterr().err


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


def test_a_folder_is_scanned_as_in_a_search(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systems = ("@eaDir", "$RECYCLE.BIN", "System Volume Information", "__MACOSX")
    for name in (".hidden", ".ipynb_checkpoints", *systems, "__own", "z"):
        (mixed / name).mkdir()
        (mixed / name / "x.png").touch()
    for name in ("._a.jpg", ".hidden.jpg", "Thumbs.db", "no-image"):
        (mixed / name).touch()
    shutil.copy(mixed / "a.jpg", mixed / "without-suffix")
    (mixed / "loop").symlink_to(mixed)
    (mixed / "again").symlink_to(mixed / "z")
    linked = mixed.parent / f"{mixed.name}-linked"
    linked.mkdir()
    (linked / "y.png").touch()
    (mixed / "link").symlink_to(linked)
    (mixed / "self.jpg").symlink_to(mixed / "self.jpg")
    inside = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "self.jpg", "without-suffix"]
    inside += ["__own/x.png", "z/x.png", "link/y.png"]
    assert list(expand([str(mixed)])) == [str(mixed / name) for name in inside]
    listed = os.scandir

    def denied(folder: str) -> object:
        if str(folder) == str(mixed / "z"):
            raise PermissionError(13, "Permission denied", folder)
        return listed(folder)

    monkeypatch.setattr(os, "scandir", denied)  # root may list every folder
    inside[-2:] = ["z", "again/x.png", "link/y.png"]
    assert list(expand([str(mixed)])) == [str(mixed / name) for name in inside]
    with pytest.raises(PermissionError):
        refusal(str(mixed / "z"))


def test_a_pipe_a_folder_and_impossible_names_are_rows(classifier: Classifier, mixed: Path) -> None:
    os.mkfifo(mixed / "pipe.jpg")
    names = [str(mixed / "pipe.jpg"), "/dev/null", "x" * 300 + "*.jpg", "a\0.jpg"]
    files = [*expand(names), str(mixed), str(mixed / "a.jpg")]
    rows = list(predict_files(classifier, files, CLASSES))
    assert [row.error for row in rows] == [
        "a FIFO, socket or device, not a file",
        "a FIFO, socket or device, not a file",
        "File name too long",
        "embedded null byte",
        "a folder, not a file",
        "",
    ]


def test_names_that_are_not_utf_8_or_break_lines_give_valid_output(
    study: StudyFolder, mixed: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = mixed / "names"
    folder.mkdir()
    odd = os.fsencode(folder) + b"/\xff.jpg"
    shutil.copy(os.fsencode(mixed / "a.jpg"), odd)
    shutil.copy(mixed / "a.jpg", folder / "line\nbreak.jpg")
    (folder / f"{'z' * 251}.jpg").write_bytes((mixed / "a.jpg").read_bytes())
    expected = ["line\nbreak.jpg", f"{'z' * 251}.jpg", "\\udcff.jpg"]
    overlays = mixed / "overlays"
    typed = ["predict", str(folder)]
    assert run([*typed, "-f", "json", "--explain", str(overlays)]) == ExitCode.OK
    printed = json.loads(capfd.readouterr().out)
    assert [row["file"].removeprefix(f"{folder}/") for row in printed] == expected
    assert len(list(overlays.iterdir())) == 3
    assert run([*typed, "-f", "csv"]) == ExitCode.OK
    rows = list(csv.DictReader(io.StringIO(capfd.readouterr().out, newline="")))
    assert [row["file"].removeprefix(f"{folder}/") for row in rows] == expected
    assert run(typed) == ExitCode.OK
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("line\\nbreak.jpg")


def test_names_on_standard_input_need_not_be_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"a\xff.jpg\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stdin)
    assert list(expand(["-"])) == ["a\udcff.jpg"]


def test_a_positive_class_can_be_given(
    study: StudyFolder, mixed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study.manifest().positive_class == "Positive"
    typed = ["predict", str(mixed / "a.jpg"), "-f", "json", "--positive-class"]
    assert run([*typed, "Negative", "--threshold", "0"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)[0]["predicted"] == "Negative"
    assert run([*typed, "Negative", "--recall", "0.5"]) == ExitCode.OK
    assert "(2 Negative)" in capsys.readouterr().err
    assert run([*typed, "Cracked", "--recall", "0.5"]) == ExitCode.USAGE
    assert "--positive-class: Cracked is not a class." in capsys.readouterr().err


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
        found = threshold_for_recall(table, "B", recall)
        assert found.value == pytest.approx(value)
        assert found.recall >= recall
        assert found.false_positive_rate == pytest.approx(rate)
        assert found.images == 5
    for name, recall in (("B", 0.0), ("B", 1.1), ("C", 0.5)):
        with pytest.raises(ValueError, match=r"a recall in \(0, 1\] and images of"):
            threshold_for_recall(table, name, recall)


def test_a_threshold_is_about_the_positive_class_of_any_number_of_classes() -> None:
    assert [_decide(p, 0.3, 1) for p in ((0.6, 0.4, 0.0), (0.3, 0.2, 0.5))] == [1, 2]
    assert [_decide((0.6, 0.4), t, 0) for t in (0.5, 0.7, None)] == [0, 1, 0]
    assert _decide((0.2, 0.2, 0.6), None, None) == 2


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
