import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from small_study import Recorder, draw_images, small_options

from datasets import sample
from datasets.errors import DataError
from datasets.folders import LabelledImage, read_folder
from search.data import contradictions, find_data, load_data
from search.environment import git_commit, processor, versions


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the test, with a `datasets/` that holds no images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "folders.py").touch()
    return tmp_path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return draw_images(tmp_path / "images")


def noted(images: Path | None) -> list[str]:
    told = Recorder()
    load_data(small_options(images or Path(), **({} if images else {"data": None})), told)
    return told.notes


def test_what_is_asked_for_comes_before_datasets_and_that_before_the_sample(here: Path) -> None:
    assert find_data(None) is None
    assert find_data(Path("mine")) == here / "mine"
    for label in "AB":
        (here / "datasets" / label).mkdir()
        Image.new("RGB", (8, 8)).save(here / "datasets" / label / "0.png")
    assert find_data(None) == here / "datasets"
    assert find_data(Path("mine")) == here / "mine"


def test_no_datasets_folder_at_all_means_the_sample(here: Path) -> None:
    shutil.rmtree(here / "datasets")
    assert find_data(None) is None


def test_images_without_class_folders_are_an_error_and_not_the_sample(here: Path) -> None:
    Image.new("RGB", (8, 8)).save(here / "datasets" / "0.png")
    found = find_data(None)
    assert found == here / "datasets"
    with pytest.raises(DataError, match="no class folders"):
        read_folder(found)


def test_the_same_bytes_under_two_labels_are_noted_by_pair(images: Path) -> None:
    assert noted(images) == []
    for number in (3, 5):
        copied = images / "Positive" / f"copy {number}.jpg"
        copied.write_bytes((images / "Negative" / f"{number:04}.jpg").read_bytes())
    (images / "Negative" / "again.jpg").write_bytes((images / "Negative" / "0000.jpg").read_bytes())
    assert noted(images) == [
        "the same picture under two labels: Negative/0003.jpg and Positive/copy 3.jpg",
        "the same picture under two labels: Negative/0005.jpg and Positive/copy 5.jpg",
    ]


def test_after_ten_notes_of_a_kind_comes_a_count(images: Path) -> None:
    for number in range(12):
        copied = images / "Positive" / f"copy {number:02}.jpg"
        copied.write_bytes((images / "Negative" / f"{number:04}.jpg").read_bytes())
        (images / "Positive" / f"empty {number:02}.jpg").touch()
    notes = noted(images)
    assert len(notes) == 22
    assert notes[10] == "left out: 2 more"
    assert notes[20].endswith("Negative/0009.jpg and Positive/copy 09.jpg")
    assert notes[21] == "the same picture under two labels: 2 more"


def test_copies_are_paired_with_the_first_alone() -> None:
    labels = ["A", "A", "B", "B", "C"]
    found = contradictions([LabelledImage(f"{n}", label, "x") for n, label in enumerate(labels)])
    assert [(one.file, other.file) for one, other in found] == [("0", "2"), ("0", "3"), ("0", "4")]


def test_the_sample_is_said_to_be_drawn_only_when_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_small(folder: Path) -> None:
        draw_images(folder)

    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(sample, "make_sample", make_small)
    (first,), (second,) = noted(None), noted(None)
    assert "built-in sample of 240 synthetic photographs (drawn at first use" in first
    assert "built-in sample of 240 synthetic photographs.\n" in second
    assert "drawn" not in second


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    command = ["git", *who, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_is_dirty_if_a_file_is_changed_or_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert git_commit(tmp_path) is None  # an installed wheel
    git(tmp_path, "init", "--quiet")
    assert git_commit(tmp_path) is None  # no commit yet
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    head = git(tmp_path, "rev-parse", "HEAD").strip()
    git(tmp_path, "tag", "--annotate", "v1", "--message", "a tag is no commit")
    assert git_commit(tmp_path) == head
    (tmp_path / "new").touch()
    assert git_commit(tmp_path) == f"{head}-dirty"
    (tmp_path / "new").unlink()
    (tmp_path / "a").write_text("2")
    assert git_commit(tmp_path) == f"{head}-dirty"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(tmp_path) is None  # no git


def test_the_versions_are_those_of_what_decides_the_numbers() -> None:
    found = versions()
    assert {"scikit-learn", "scipy", "pandas", "keras-tuner", "processor"} <= found.keys()
    assert all(found.values())
    assert "not installed" not in {found["scikit-learn"], found["scipy"], found["pandas"]}


def test_the_processor_is_its_model_or_its_architecture(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    assert processor(cpuinfo)
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Quick 9: the CPU\nmodel\t: 1\n" * 2)
    assert processor(cpuinfo) == "Quick 9: the CPU"
    cpuinfo.write_text("processor\t: 0\nmodel name\t:\n")  # as some ARM boards have it
    assert processor(cpuinfo)
