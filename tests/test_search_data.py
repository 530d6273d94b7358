import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from concrete_study.search.data import StudyData, find_data, load_data
from PIL import Image
from small_study import Recorder, draw_images, small_options

from concrete_study.datasets import sample
from concrete_study.datasets.errors import DataError
from concrete_study.datasets.folders import read_folder
from concrete_study.datasets.splits import DEFAULT_SHARES as SHARES
from concrete_study.datasets.splits import SUBSETS, write_split
from concrete_study.results.environment import git_commit, processor, versions
from concrete_study.results.folder import StudyFolder
from concrete_study.search.manifest import now


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


def loaded(images: Path | None, runs: Path, **options: Any) -> tuple[StudyData, list[str]]:
    """What a study that has not begun yet would be given, and what is said of it."""
    asked = small_options(images or Path(), **({} if images else {"data": ()}), **options)
    told = Recorder()
    return load_data(asked, StudyFolder(runs / "new"), told), told.messages


def places(data: StudyData) -> dict[str, str]:
    return {row.file: row.subset for row in data.rows}


def test_what_is_asked_for_comes_before_datasets_and_that_before_the_sample(here: Path) -> None:
    assert find_data([]) == []
    assert find_data([Path("mine")]) == [here / "mine"]
    for label in "AB":
        (here / "datasets" / label).mkdir()
        Image.new("RGB", (8, 8)).save(here / "datasets" / label / "0.png")
    assert find_data([]) == [here / "datasets"]
    assert find_data([Path("mine")]) == [here / "mine"]


def test_no_datasets_folder_at_all_means_the_sample(here: Path) -> None:
    shutil.rmtree(here / "datasets")
    assert find_data([]) == []


def test_images_without_class_folders_are_an_error_and_not_the_sample(here: Path) -> None:
    Image.new("RGB", (8, 8)).save(here / "datasets" / "0.png")
    (found,) = find_data([])
    assert found == here / "datasets"
    with pytest.raises(DataError, match="no class folders"):
        read_folder(found)


def test_one_picture_under_two_labels_is_named_and_left_out(images: Path, tmp_path: Path) -> None:
    assert loaded(images, tmp_path)[1] == []
    for number in (3, 5):
        copied = images / "Positive" / f"copy {number}.jpg"
        copied.write_bytes((images / "Negative" / f"{number:04}.jpg").read_bytes())
    (images / "Negative" / "again.jpg").write_bytes((images / "Negative" / "0000.jpg").read_bytes())
    data, notes = loaded(images, tmp_path)
    assert notes == [
        "31 images show 28 different pictures; copies stay on one side of the split.",
        "the same picture under two labels, left out: Negative/0003.jpg and Positive/copy 3.jpg",
        "the same picture under two labels, left out: Negative/0005.jpg and Positive/copy 5.jpg",
    ]
    out = {"Negative/0003.jpg", "Positive/copy 3.jpg", "Negative/0005.jpg", "Positive/copy 5.jpg"}
    assert {image.file for conflict in data.conflicts for image in conflict} == out
    assert out.isdisjoint(places(data))
    assert len(data.rows) == 27

    kept, notes = loaded(images, tmp_path, keep_conflicts=True)
    assert len(kept.rows) == 31
    assert kept.conflicts == []
    assert places(kept)["Negative/0003.jpg"] == places(kept)["Positive/copy 3.jpg"]
    assert "left out" not in "".join(notes)


def test_after_ten_notes_of_a_kind_comes_a_count(images: Path, tmp_path: Path) -> None:
    for number in range(11):
        copied = images / "Positive" / f"copy {number:02}.jpg"
        copied.write_bytes((images / "Negative" / f"{number:04}.jpg").read_bytes())
        (images / "Positive" / f"empty {number:02}.jpg").touch()
    _, notes = loaded(images, tmp_path)
    assert len(notes) == 23
    assert notes[10] == "left out: 1 more"
    assert notes[21].endswith("Negative/0009.jpg and Positive/copy 09.jpg")
    assert notes[22] == "the same picture under two labels, left out: 1 more"


def test_a_turned_copy_stays_on_the_side_of_its_picture(images: Path, tmp_path: Path) -> None:
    for label in ("Negative", "Positive"):
        for number in range(5):
            with Image.open(images / label / f"{number:04}.jpg") as image:
                turned = image.transpose(Image.Transpose.ROTATE_90)
                turned.save(images / label / f"turned {number}.jpg", quality=90)
    grouped = loaded(images, tmp_path)[0]
    for label in ("Negative", "Positive"):
        for number in range(5):
            first = places(grouped)[f"{label}/{number:04}.jpg"]
            assert places(grouped)[f"{label}/turned {number}.jpg"] == first
    loose, notes = loaded(images, tmp_path, groups=False)
    assert len({row.group for row in grouped.rows}) == 28
    assert len({row.group for row in loose.rows}) == 38
    assert notes == [
        "--no-groups: copies of one picture may be trained on and tested on; only "
        "byte-identical files stay together."
    ]


def test_patches_of_one_photograph_stay_together_by_their_names(
    images: Path, tmp_path: Path
) -> None:
    for label in ("Negative", "Positive"):
        for number, path in enumerate(sorted((images / label).iterdir())):
            path.rename(path.with_name(f"{label[0]}{number // 2}-{number}.jpg"))
    data, _ = loaded(images, tmp_path, split_by="prefix")
    sides: dict[str, set[str]] = {}
    for row in data.rows:
        sides.setdefault(Path(row.file).name.split("-")[0], set()).add(row.subset)
    assert len(sides) == 14
    assert all(len(subsets) == 1 for subsets in sides.values())


def test_a_folder_that_grows_keeps_its_images_where_an_earlier_study_put_them(
    images: Path, tmp_path: Path
) -> None:
    first, _ = loaded(images, tmp_path)
    study = StudyFolder(tmp_path / "first")
    write_split(study.split_path, first.rows)
    options = small_options(images).to_json()
    study.write_manifest({"created": now(), "state": "finished", "options": options})
    more = draw_images(tmp_path / "more", seed=2)
    for label in ("Negative", "Positive"):
        for path in (more / label).iterdir():
            shutil.copy(path, images / label / f"new {path.name}")
    grown, _ = loaded(images, tmp_path)
    assert len(grown.rows) == 56
    assert places(first).items() <= places(grown).items()
    counts = Counter(row.subset for row in grown.rows)
    assert all(abs(counts[s] / 56 - share) < 0.04 for s, share in zip(SUBSETS, SHARES, strict=True))
    other, _ = loaded(images, tmp_path, seed=7)
    assert not places(first).items() <= places(other).items()


def test_the_sample_is_said_to_be_drawn_only_when_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_small(folder: Path) -> None:
        draw_images(folder)

    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(sample, "make_sample", make_small)
    (first,), (second,) = (loaded(None, tmp_path)[1] for _ in range(2))
    assert "built-in sample of 240 synthetic photographs (drawn at first use" in first
    assert "built-in sample of 240 synthetic photographs.\n" in second
    assert "drawn" not in second


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    command = ["git", *who, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_is_dirty_if_a_file_of_the_program_is_changed_or_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert git_commit(tmp_path) is None  # an installed wheel
    git(tmp_path, "init", "--quiet")
    assert git_commit(tmp_path) is None  # no commit yet
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "a.py").write_text("1")
    git(tmp_path, "add", "study")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    head = git(tmp_path, "rev-parse", "HEAD").strip()
    git(tmp_path, "tag", "--annotate", "v1", "--message", "a tag is no commit")
    assert git_commit(tmp_path) == head
    (tmp_path / "data-check").mkdir()
    (tmp_path / "data-check" / "index.html").touch()  # a user's, not the program's
    assert git_commit(tmp_path) == head
    (tmp_path / "study" / "new.py").touch()
    assert git_commit(tmp_path) == f"{head}-dirty"
    (tmp_path / "study" / "new.py").unlink()
    (tmp_path / "study" / "a.py").write_text("2")
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
