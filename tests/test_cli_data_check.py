"""`study data check`: every kind of fault is reported and on the page."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter
from small_records import measured
from small_study import draw_images

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.audit import find_outliers


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return draw_images(tmp_path / "slabs")


def check(folder: Path, *more: str) -> int:
    """The exit code of a check that also writes the page."""
    return run(["data", "check", str(folder), "--page", "data-check", *more])


def checked() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path("data-check/check.json").read_text())
    return content


def test_the_page_goes_into_no_folder_with_other_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "check", str(folder), "--page", str(folder)]) == ExitCode.USAGE
    assert "cannot be replaced" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["Negative", "Positive"]
    for _ in range(2):
        assert check(folder) == ExitCode.OK


def test_without_a_page_nothing_is_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "check", str(folder)]) == ExitCode.OK
    assert "28 (Negative 14, Positive 14)" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [folder]


def test_sound_images_end_with_code_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(folder) == ExitCode.OK
    out, err = capsys.readouterr()
    assert "28 (Negative 14, Positive 14)" in out
    assert "data-check/index.html" in err
    summary = checked()["summary"]
    assert summary["unique_images"] == summary["images"] == 28
    assert summary["imbalance"] == 1
    assert summary["sizes"] == {"48 x 48": 28}
    assert summary["modes"] == {"RGB": 28}
    for nothing in ("faults", "exact_groups", "near_groups", "conflicts"):
        assert summary[nothing] == 0
    assert summary["largest_group"] == 1


def test_every_fault_is_reported_and_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    negative, positive = folder / "Negative", folder / "Positive"
    whole = (negative / "0000.jpg").read_bytes()
    (negative / "empty.jpg").touch()
    (negative / "text.jpg").write_text("no image")
    (negative / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    shutil.copy(negative / "0001.jpg", negative / "again.jpg")
    with Image.open(negative / "0002.jpg") as image:
        image.transpose(Image.Transpose.ROTATE_270).save(negative / "rotated.png")
    with Image.open(positive / "0003.jpg") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(negative / "conflict.png")
    with Image.open(positive / "0004.jpg") as image:
        image.point(lambda value: value // 12).save(positive / "dark.png")
    with Image.open(positive / "0005.jpg") as image:
        blurred = image.convert("L").resize((64, 40)).filter(ImageFilter.GaussianBlur(9))
        blurred.save(positive / "blurred.png")

    assert check(folder, "--format", "json") == ExitCode.FAULTS
    content = json.loads(capsys.readouterr().out)
    assert content == checked()
    faults = [fault["file"] for fault in content["faults"]]
    assert faults == [f"Negative/{name}.jpg" for name in ("empty", "text", "truncated")]
    assert content["exact"] == [["Negative/0001.jpg", "Negative/again.jpg"]]
    assert ["Negative/0002.jpg", "Negative/rotated.png"] in content["near"]
    assert content["conflicts"] == [["Negative/conflict.png", "Positive/0003.jpg"]]
    outliers = {(outlier["file"], outlier["measure"]) for outlier in content["outliers"]}
    assert ("Positive/dark.png", "brightness") in outliers
    assert ("Positive/blurred.png", "sharpness") in outliers
    summary = content["summary"]
    assert summary["modes"] == {"RGB": 32, "L": 1}
    assert summary["sizes"] == {"48 x 48": 32, "64 x 40": 1}
    assert summary["near_groups"] == len(content["near"]) >= 3
    assert len(content["images"]) == summary["images"] == 33

    page = Path("data-check/index.html").read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?(?!data:)\w+:", page)
    for text in (*faults, "dark.png", "blurred.png", "conflict.png", "rotated.png"):
        assert text in page
    assert page.count("data:image/jpeg;base64,") == page.count("<img ")


def test_file_names_are_escaped(folder: Path) -> None:
    shutil.copy(folder / "Negative" / "0000.jpg", folder / "Negative" / "<b>&.jpg")
    (folder / "Negative" / "<i>.jpg").touch()
    assert check(folder) == ExitCode.FAULTS
    page = Path("data-check/index.html").read_text(encoding="utf-8")
    assert "<i>" not in page
    assert "&lt;i&gt;.jpg" in page


@pytest.mark.parametrize("classes", [[], ["Negative"]])
def test_a_folder_without_two_classes_is_an_error_and_writes_no_page(
    classes: list[str], folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    for label in classes:
        shutil.copytree(folder / label, tmp_path / "other" / label)
    assert check(tmp_path / "other") == ExitCode.DATA
    assert not Path("data-check").exists()


def test_outliers_are_relative_to_their_class_and_none_where_all_images_are_equal() -> None:
    random = np.random.default_rng(1)
    light = [measured(f"a{n}", "A", brightness=v) for n, v in enumerate(random.normal(200, 5, 40))]
    dark = [measured(f"b{n}", "B", brightness=v) for n, v in enumerate(random.normal(60, 5, 40))]
    odd = measured("odd", "A", brightness=60.0)
    found = find_outliers([*light, *dark, odd])
    assert found[0].file == "odd"
    assert {outlier.measure for outlier in found} == {"brightness"}
    assert found[0].score < -3.5
    assert find_outliers([]) == find_outliers([odd]) == []
