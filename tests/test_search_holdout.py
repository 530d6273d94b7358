"""Several folders as one, and folders that validate or only test."""

import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from concrete_study.datasets.sources import join_folders, name_datasets
from concrete_study.search.data import load_data
from small_study import Recorder, draw_images, searched, small_options

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.errors import DataError, UsageError
from concrete_study.datasets.folders import read_folder
from concrete_study.datasets.splits import EXTERNAL, read_split
from concrete_study.results.evaluation import evaluate, read_predictions
from concrete_study.results.folder import StudyFolder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Three folders of 28 slabs each."""
    root = tmp_path_factory.mktemp("folders")
    a, b, c = (draw_images(root / name, seed=seed) for seed, name in enumerate("abc", start=20))
    return a, b, c


def places(study: StudyFolder) -> dict[str, Counter[str]]:
    """How many images of each source each subset has."""
    found: dict[str, Counter[str]] = {}
    for row in read_split(study.split_path):
        found.setdefault(row.file.split("/")[0], Counter())[row.subset] += 1
    return found


def test_folders_studied_as_one_keep_their_names_and_each_has_its_scores(
    folders: tuple[Path, Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    a, b, c = folders
    monkeypatch.chdir(tmp_path)
    found = searched(
        a, Path("runs/both"), data=(str(a), str(b)), external_test=(str(c),), max_epochs=1
    )
    placed = places(found.study)
    assert placed.keys() == {"a", "b", "c"}
    assert placed["c"] == {EXTERNAL: 28}
    assert placed["a"].total() == placed["b"].total() == 28
    assert EXTERNAL not in placed["a"]
    assert found.study.manifest()["images"][EXTERNAL] == 28

    assert run(["best", "both", "--fast"]) == ExitCode.OK
    out, _ = capsys.readouterr()
    metrics = found.study.metrics()
    assert metrics is not None
    sources = [(s["source"], s["subset"]) for s in metrics["by_dataset"]]
    assert sources == [("a", "test"), ("b", "test"), ("c", EXTERNAL)]
    assert metrics["test"]["images"] == sum(s["images"] for s in metrics["by_dataset"][:2])
    external = read_predictions(found.study.best_path / "external.csv")
    assert metrics["by_dataset"][2] == {
        "source": "c",
        "subset": EXTERNAL,
        **evaluate(external, ["Negative", "Positive"]),
    }
    assert f"c       {EXTERNAL}      28" in out
    tested = pd.read_csv(found.study.predictions_path)["file"]
    assert not tested.str.startswith("c/").any()


def test_another_folder_validates_and_the_own_validation_images_are_trained_on(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    a, b, _ = folders
    options = small_options(a, validate_on=str(b))
    alone = load_data(small_options(a), StudyFolder(tmp_path / "alone"), Recorder())
    data = load_data(options, StudyFolder(tmp_path / "s"), Recorder())
    assert data.counts() == {
        "train": alone.counts()["train"] + alone.counts()["validation"],
        "validation": 28,
        "test": alone.counts()["test"],
    }
    validating = [row.file for row in data.rows if row.subset == "validation"]
    assert all(file.startswith("b/") for file in validating)
    own = {row.sha256 for row in data.rows if row.subset == "test"}
    assert own == {row.sha256 for row in alone.rows if row.subset == "test"}


def test_pictures_that_the_study_has_are_left_out_of_other_folders(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    a, _, c = folders
    mixed = tmp_path / "mixed"
    shutil.copytree(c, mixed)
    shutil.copy(a / "Negative" / "0001.jpg", mixed / "Negative" / "known.jpg")
    told = Recorder()
    data = load_data(
        small_options(a, external_test=(str(mixed),)), StudyFolder(tmp_path / "s"), told
    )
    assert data.counts()[EXTERNAL] == 28
    assert any("1 of 29 held-out images are left out" in note for note in told.messages)
    with pytest.raises(DataError, match="--validate-on leaves no image of class Negative"):
        shutil.copytree(a, tmp_path / "same")
        again = small_options(a, validate_on=str(tmp_path / "same"))
        load_data(again, StudyFolder(tmp_path / "s"), told)
    with pytest.raises(DataError, match="--hold-out leaves no image to test on"):
        again = small_options(a, external_test=(str(tmp_path / "same"),))
        load_data(again, StudyFolder(tmp_path / "s"), told)


def test_folders_of_one_name_are_told_apart_and_one_named_twice_is_refused() -> None:
    named = name_datasets([Path("/x/day"), Path("/y/day"), Path("/z/night")])
    assert named == {"x-day": Path("/x/day"), "y-day": Path("/y/day"), "night": Path("/z/night")}
    with pytest.raises(UsageError, match="is named twice"):
        name_datasets([Path("/x/day"), Path("/x/day")])


def test_folders_of_other_classes_are_refused(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(folders[1], tmp_path / "other")
    (tmp_path / "other" / "Positive").rename(tmp_path / "other" / "Cracked")
    with pytest.raises(DataError, match="Negative, Positive in each; b has Cracked, Negative"):
        join_folders({"a": read_folder(folders[0]), "b": read_folder(tmp_path / "other")})


def test_a_folder_has_one_part_to_play(folders: tuple[Path, Path, Path]) -> None:
    a, b, _ = map(str, folders)
    for twice in (
        {"external_test": (a,)},
        {"validate_on": a},
        {"validate_on": b, "external_test": (b,)},
    ):
        with pytest.raises(UsageError, match="has two parts to play"):
            small_options(Path(a), **twice)
