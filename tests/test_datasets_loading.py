"""From folders to a split: near-duplicates, conflicts, groups, several folders."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from concrete_study.datasets.errors import DataError, UsageError
from concrete_study.datasets.folders import read_folder
from concrete_study.datasets.loading import LoadingOptions, StudyData, find_data, load_images
from concrete_study.datasets.progress import Progress
from concrete_study.datasets.reading import join_folders, name_datasets
from concrete_study.datasets.sample import make_sample
from concrete_study.datasets.splits import EXTERNAL, parse_shares


class Recorder(Progress):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def log(self, message: str) -> None:
        self.messages.append(message)


def draw_images(folder: Path, *, seed: int = 3) -> Path:
    make_sample(folder, images=28, size=48, seed=seed)
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return draw_images(tmp_path / "images")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Three folders of 28 images each."""
    root = tmp_path_factory.mktemp("folders")
    a, b, c = (draw_images(root / name, seed=seed) for seed, name in enumerate("abc", start=20))
    return a, b, c


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the test, with a `datasets/` that holds no images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "folders.py").touch()
    return tmp_path


def loaded(*roots: Path, **options: Any) -> tuple[StudyData, list[str]]:
    recorder = Recorder()
    return load_images(roots, LoadingOptions(seed=5, **options), recorder), recorder.messages


def subsets(data: StudyData) -> dict[str, str]:
    return {row.file: row.subset for row in data.rows}


def test_given_folders_come_before_datasets_and_that_before_the_sample(here: Path) -> None:
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


def test_near_duplicates_of_two_labels_are_reported_and_excluded(images: Path) -> None:
    assert loaded(images)[1] == []
    for number in (3, 5):
        duplicate = images / "Positive" / f"copy {number}.jpg"
        duplicate.write_bytes((images / "Negative" / f"{number:04}.jpg").read_bytes())
    (images / "Negative" / "again.jpg").write_bytes((images / "Negative" / "0000.jpg").read_bytes())
    data, messages = loaded(images)
    assert messages == [
        "31 images, 28 unique: near-duplicates stay in one subset.",
        "near-duplicates with different labels, excluded: "
        "Negative/0003.jpg and Positive/copy 3.jpg",
        "near-duplicates with different labels, excluded: "
        "Negative/0005.jpg and Positive/copy 5.jpg",
    ]
    out = {"Negative/0003.jpg", "Positive/copy 3.jpg", "Negative/0005.jpg", "Positive/copy 5.jpg"}
    assert {image.file for conflict in data.conflicts for image in conflict} == out
    assert out.isdisjoint(subsets(data))
    assert len(data.rows) == 27

    kept, messages = loaded(images, keep_conflicts=True)
    assert len(kept.rows) == 31
    assert kept.conflicts == []
    assert subsets(kept)["Negative/0003.jpg"] == subsets(kept)["Positive/copy 3.jpg"]
    assert "excluded" not in "".join(messages)


def test_after_ten_messages_of_a_kind_comes_a_count(images: Path) -> None:
    for number in range(11):
        duplicate = images / "Positive" / f"copy {number:02}.jpg"
        duplicate.write_bytes((images / "Negative" / f"{number:04}.jpg").read_bytes())
        (images / "Positive" / f"empty {number:02}.jpg").touch()
    _, messages = loaded(images)
    assert len(messages) == 23
    assert messages[10] == "excluded: 1 more"
    assert messages[21].endswith("Negative/0009.jpg and Positive/copy 09.jpg")
    assert messages[22] == "near-duplicates with different labels, excluded: 1 more"


def test_a_rotated_image_stays_in_the_subset_of_the_original(images: Path) -> None:
    for label in ("Negative", "Positive"):
        for number in range(5):
            with Image.open(images / label / f"{number:04}.jpg") as image:
                rotated = image.transpose(Image.Transpose.ROTATE_90)
                rotated.save(images / label / f"rotated {number}.jpg", quality=90)
    grouped = loaded(images)[0]
    for label in ("Negative", "Positive"):
        for number in range(5):
            first = subsets(grouped)[f"{label}/{number:04}.jpg"]
            assert subsets(grouped)[f"{label}/rotated {number}.jpg"] == first
    assert len(grouped.folder.thumbnails) == 0  # released after the comparison
    ungrouped, messages = loaded(images, near_duplicates=False)
    assert len({row.group for row in grouped.rows}) == 28
    assert len({row.group for row in ungrouped.rows}) == 38
    assert messages == [
        "Near-duplicates are not grouped: they may be in train and test. Only files of identical "
        "content stay together."
    ]


def test_images_of_one_prefix_stay_together(images: Path) -> None:
    for label in ("Negative", "Positive"):
        for number, path in enumerate(sorted((images / label).iterdir())):
            path.rename(path.with_name(f"{label[0]}{number // 2}-{number}.jpg"))
    data, _ = loaded(images, split_by="prefix")
    found: dict[str, set[str]] = {}
    for row in data.rows:
        found.setdefault(Path(row.file).name.split("-")[0], set()).add(row.subset)
    assert len(found) == 14
    assert all(len(names) == 1 for names in found.values())


def test_a_folder_that_grows_keeps_its_earlier_split(images: Path, tmp_path: Path) -> None:
    first, _ = loaded(images)
    more = draw_images(tmp_path / "more", seed=2)
    for label in ("Negative", "Positive"):
        for path in (more / label).iterdir():
            shutil.copy(path, images / label / f"new {path.name}")
    earlier = {row.sha256: row.subset for row in first.rows}
    grown, _ = loaded(images, earlier=earlier)
    assert len(grown.rows) == 56
    assert subsets(first).items() <= subsets(grown).items()
    assert not subsets(first).items() <= subsets(loaded(images)[0]).items()


def test_several_folders_are_split_as_one_and_external_ones_are_not_split(
    folders: tuple[Path, Path, Path],
) -> None:
    a, b, c = folders
    data, _ = loaded(a, b, external_test=(c,))
    assert set(data.folder.roots) == {"a", "b", "c"}
    names = {(row.file.split("/")[0], row.subset) for row in data.rows}
    own = {(name, subset) for name in "ab" for subset in ("train", "validation", "test")}
    assert names <= own | {("c", EXTERNAL)}
    assert data.counts() == {"train": 40, "validation": 8, "test": 8, EXTERNAL: 28}
    assert len(data.subset(EXTERNAL)) == 28
    assert {path.parents[1] for path in data.subset(EXTERNAL).paths} == {c}


def test_another_folder_validates_and_the_own_validation_images_move_to_train(
    folders: tuple[Path, Path, Path],
) -> None:
    a, b, _ = folders
    alone, (data, messages) = loaded(a)[0], loaded(a, validate_on=b)
    assert data.counts() == {
        "train": alone.counts()["train"] + alone.counts()["validation"],
        "validation": 28,
        "test": alone.counts()["test"],
    }
    assert all(row.file.startswith("b/") for row in data.rows if row.subset == "validation")
    moved = alone.counts()["validation"]
    assert any(
        line.startswith(f"{moved} validation images are moved to train") for line in messages
    )
    own = {row.sha256 for row in data.rows if row.subset == "test"}
    assert own == {row.sha256 for row in alone.rows if row.subset == "test"}


def test_images_of_the_study_are_excluded_from_other_folders(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    a, _, c = folders
    mixed, same = tmp_path / "mixed", tmp_path / "same"
    shutil.copytree(c, mixed)
    shutil.copytree(a, same)
    shutil.copy(a / "Negative" / "0001.jpg", mixed / "Negative" / "known.jpg")
    data, messages = loaded(a, external_test=(mixed,))
    assert data.counts()[EXTERNAL] == 28
    assert "1 of 29 external images excluded: near-duplicates of the study's images." in messages
    with pytest.raises(DataError, match="no image of class Negative is left") as caught:
        loaded(a, validate_on=same)
    assert caught.value.parameter == "validate_on"
    with pytest.raises(DataError, match="no image is left to evaluate on") as caught:
        loaded(a, external_test=(same,))
    assert caught.value.parameter == "external_test"


def test_a_test_folder_is_the_whole_test_split_and_its_near_duplicates_are_excluded(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    a, b, _ = folders
    own = tmp_path / "own"
    shutil.copytree(a, own)
    shutil.copy(b / "Negative" / "0001.jpg", own / "Negative" / "repeated.jpg")
    rotated = Image.open(b / "Positive" / "0001.jpg").transpose(Image.Transpose.ROTATE_90)
    rotated.save(own / "Positive" / "rotated.png")
    data, messages = loaded(own, test=b)
    assert data.counts() == {"train": 24, "validation": 4, "test": 28}
    assert {row.file.split("/")[0] for row in data.rows if row.subset == "test"} == {"b"}
    files = {row.file for row in data.rows}
    assert not files & {"own/Negative/repeated.jpg", "own/Positive/rotated.png"}
    assert "2 of 30 train images excluded: near-duplicates of test images." in messages
    assert "No validation images are given: 4 of 28 training images are split off." in messages
    explicit, _ = loaded(own, test=b, shares=parse_shares("85/15/0", test_given=True))
    assert explicit.counts() == data.counts()


def test_folders_of_a_test_folder_are_mapped_to_classes(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(folders[1] / "Positive", tmp_path / "bridges" / "Cracked")
    data, _ = loaded(folders[0], test=tmp_path / "bridges", class_map={"Cracked": "Positive"})
    tested = [row.label for row in data.rows if row.subset == "test"]
    assert tested == ["Positive"] * 14
    with pytest.raises(DataError, match="the folders have different classes") as caught:
        loaded(folders[0], test=tmp_path / "bridges")
    assert caught.value.parameter == "class_map"
    assert caught.value.hint.endswith("map them to these classes: Cracked=CLASS")


def test_a_test_folder_without_images_or_with_another_test_set_is_refused(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    a, b, c = folders
    swapped, split = tmp_path / "swapped", tmp_path / "split"
    shutil.copytree(a / "Positive", swapped / "Negative")
    with pytest.raises(DataError, match=r"no image of .* is left to test on") as caught:
        loaded(b, a, test=swapped)
    assert caught.value.parameter == "test"
    shutil.copytree(a, split / "train")
    shutil.copytree(b, split / "test")
    with pytest.raises(UsageError, match="would be a second test set") as refused:
        loaded(split, test=c)
    assert refused.value.parameter == "test"


def test_datasets_of_one_name_get_as_many_parents_as_make_them_differ() -> None:
    named = name_datasets([Path("/x/day"), Path("/y/day"), Path("/z/night")])
    assert named == {"x-day": Path("/x/day"), "y-day": Path("/y/day"), "night": Path("/z/night")}
    three = [Path(f"/{name}/2024/photos") for name in "abc"]
    assert name_datasets(three) == {f"{root.parts[1]}-2024-photos": root for root in three}


@pytest.mark.parametrize(
    "roots",
    [
        ("/a/day", "/b/day", "/c/b-day"),
        ("/a/b", "/a-b", "/c/b"),
        ("/day", "/a/day", "/a/a/day"),
        ("/", "/root"),
        ("day", "a/day"),
    ],
)
def test_names_of_datasets_are_unique_whatever_the_depth(roots: tuple[str, ...]) -> None:
    named = name_datasets([Path(root) for root in roots])
    assert list(named.values()) == [Path(root) for root in roots]
    assert all(named)
    assert not any("/" in name for name in named)


def test_a_folder_given_twice_is_an_error() -> None:
    with pytest.raises(UsageError, match="is given twice"):
        name_datasets([Path("/x/day"), Path("/x/day")])


def test_folders_of_other_classes_are_refused(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(folders[1], tmp_path / "other")
    (tmp_path / "other" / "Positive").rename(tmp_path / "other" / "Cracked")
    with pytest.raises(DataError, match="Negative, Positive in each; b has Cracked, Negative"):
        join_folders({"a": read_folder(folders[0]), "b": read_folder(tmp_path / "other")})
