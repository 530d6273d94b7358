"""Which class and given subset each file of a folder has, and what is ignored and why."""

import shutil
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from concrete_study.datasets import archives, file_kinds
from concrete_study.datasets.archives import open_archive
from concrete_study.datasets.errors import DataError, ResourceError, SitesError, UsageError
from concrete_study.datasets.folders import LabelledImage
from concrete_study.datasets.given_subsets import complete_split
from concrete_study.datasets.labels import parse_class_map
from concrete_study.datasets.layouts import find_layout
from concrete_study.datasets.progress import SILENT, Progress
from concrete_study.datasets.reading import read_folders


class Recorder(Progress):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def log(self, message: str) -> None:
        self.messages.append(message)


def touch(root: Path, *files: str) -> Path:
    """Files without content: a layout is found without decoding any."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def labelled(root: Path, **options: dict[str, str]) -> dict[str, str]:
    return {file.file: file.label for file in find_layout(root, **options).files}  # type: ignore[arg-type]


def subsets(root: Path) -> dict[str, tuple[str, str]]:
    return {file.file: (file.label, file.subset) for file in find_layout(root).files}


def reasons(root: Path) -> dict[str, tuple[int, bool]]:
    return {i.reason: (i.count, i.is_image) for i in find_layout(root).ignored}


def test_class_folders_may_be_below_several_levels_of_one_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a/b/Negative/1.jpg", "a/b/Positive/day 1/2.jpg", "a/readme.txt")
    assert labelled(tmp_path) == {
        "a/b/Negative/1.jpg": "Negative",
        "a/b/Positive/day 1/2.jpg": "Positive",
    }
    assert find_layout(tmp_path).notes == ["Class folders are in a/b/."]


def test_sub_folders_of_the_only_class_are_no_classes(tmp_path: Path) -> None:
    touch(tmp_path, "Positive/day 1/1.jpg", "Positive/day 2/2.jpg")
    with pytest.raises(DataError, match="only one class"):
        find_layout(tmp_path)
    assert find_layout(tmp_path, least_classes=1).classes == ["Positive"]


@pytest.mark.parametrize("sites", ["DPW", "W"])
@pytest.mark.parametrize("level", ["{site}/", ""])
def test_sdnet2018_whole_or_one_part_of_it(sites: str, level: str, tmp_path: Path) -> None:
    for site in sites:
        folder = level.format(site=site)
        touch(tmp_path, f"x/{folder}C{site}/7-1.jpg", f"x/{folder}U{site}/7-2.jpg")
    found = Counter(labelled(tmp_path).values())
    assert found == {"Cracked": len(sites), "Uncracked": len(sites)}
    assert "prefix" in find_layout(tmp_path).notes[0]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("train", "test"), ("train", "test")),
        (("Train", "VAL", "testing"), ("train", "validation", "test")),
        (("training", "valid"), ("train", "validation")),
        (("training_set", "test_set"), ("train", "test")),
        (("train/train", "test/test"), ("train", "test")),
        (("train",), ("",)),
    ],
)
def test_parts_of_a_ready_made_split_are_its_subsets(
    names: tuple[str, ...], expected: tuple[str, ...], tmp_path: Path
) -> None:
    for name in names:
        touch(tmp_path, f"data/{name}/A/1.jpg", f"data/{name}/B/1.jpg")
    assert subsets(tmp_path) == {
        f"data/{name}/{label}/1.jpg": (label, subset)
        for name, subset in zip(names, expected, strict=True)
        for label in "AB"
    }


def test_parts_without_classes_are_ignored_and_counted(tmp_path: Path) -> None:
    touch(tmp_path, "train/A/1.jpg", "train/B/1.jpg", "test/1.jpg", "test/2.jpg", "pred/3.jpg")
    assert subsets(tmp_path) == {"train/A/1.jpg": ("A", ""), "train/B/1.jpg": ("B", "")}
    assert reasons(tmp_path) == {
        "in pred/, which has no class folders": (1, True),
        "in test/, which has no class folders": (2, True),
    }


def test_a_split_whose_classes_are_not_all_trained_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "train/A/1.jpg", "train/B/1.jpg", "test/A/1.jpg", "test/C/1.jpg")
    with pytest.raises(DataError, match=r"no training images of class C.\n.*found A, B"):
        find_layout(tmp_path)


def test_parts_of_a_split_without_any_class_folder_are_no_classes(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.jpg", "test/2.jpg")
    with pytest.raises(DataError, match="parts of a ready-made split, without class folders"):
        find_layout(tmp_path)


def test_several_sites_of_the_same_classes_are_refused_by_name(tmp_path: Path) -> None:
    for site in ("bridge", "wall"):
        touch(tmp_path, f"{site}/Cracked/1.jpg", f"{site}/Non-cracked/1.jpg")
    with pytest.raises(SitesError, match=f"{tmp_path}/bridge {tmp_path}/wall") as caught:
        find_layout(tmp_path)
    assert caught.value.folders == [tmp_path / "bridge", tmp_path / "wall"]
    mapped = {"Cracked": "yes", "Non-cracked": "no"}
    assert Counter(labelled(tmp_path, class_map=mapped).values()) == {"yes": 2, "no": 2}


def test_the_same_sub_folders_in_each_class_are_no_sites(tmp_path: Path) -> None:
    for label in ("Negative", "Positive"):
        touch(tmp_path, f"{label}/site 1/1.jpg", f"{label}/site 2/1.jpg")
    assert find_layout(tmp_path).classes == ["Negative", "Positive"]


def test_the_deepest_mapped_folder_decides_and_others_keep_their_names(tmp_path: Path) -> None:
    touch(tmp_path, "A/1.jpg", "B/fine/2.jpg", "B/3.jpg", "C/4.jpg", "_D/5.jpg", ".E/6.jpg")
    mapped = {"A": "bad", "B": "bad", "fine": "good", "_D": "good", ".E": "good"}
    assert labelled(tmp_path, class_map=mapped) == {
        "A/1.jpg": "bad",
        "B/fine/2.jpg": "good",
        "B/3.jpg": "bad",
        "C/4.jpg": "C",
        "_D/5.jpg": "good",
        ".E/6.jpg": "good",
    }


def test_a_class_map_is_read_from_repeated_or_joined_pairs() -> None:
    assert parse_class_map(["A=1,B=2", "C=1"]) == {"A": "1", "B": "2", "C": "1"}
    for wrong in (["A"], ["A=1", "A=2"], ["=1"], ["A="]):
        with pytest.raises(UsageError, match="is not a mapping"):
            parse_class_map(wrong)


def test_a_map_of_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    for number, label in enumerate("AB"):
        (tmp_path / label).mkdir()
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / label / "1.png")
    with pytest.raises(UsageError, match=r"Z=x is not valid\.\n.*has A, B"):
        read_folders({"": tmp_path}, class_map={"Z": "x"})


def test_what_is_ignored_is_counted_by_reason(tmp_path: Path) -> None:
    touch(tmp_path, "A/1.jpg", "B/1.JFIF", "A/._1.jpg", "A/.2.jpg", "A/Thumbs.db", "A/notes.txt")
    touch(tmp_path, "B/.git/1.jpg", "__MACOSX/A/1.jpg", "B/.cache/1.jpg", "B/2.dng", "loose.png")
    touch(tmp_path, "_old/1.jpg", "_old/2.jpg", ".C/1.jpg", "B/README")
    (tmp_path / "B" / "3").write_bytes(b"\xff\xd8\xff\xe0 a JPEG without a suffix")
    (tmp_path / "B" / "dead").symlink_to(tmp_path / "nowhere")
    assert labelled(tmp_path) == {"A/1.jpg": "A", "B/1.JFIF": "B", "B/3": "B"}
    assert reasons(tmp_path) == {
        ".dng is not read: convert to JPEG or PNG": (1, True),
        "dead links": (1, True),
        "in _old/, which begins with an underscore: rename it, or map it to a class": (2, True),
        "in no class folder": (1, True),
        "in the hidden folder .C: rename it, or map it to a class": (1, True),
        "AppleDouble files, macOS's metadata": (1, False),
        "files in hidden folders": (1, False),
        "files in system folders (.git)": (1, False),
        "files in system folders (__MACOSX)": (1, False),
        "hidden files": (1, False),
        "other files": (2, False),
        "system files": (1, False),
    }


def test_heic_without_its_plugin_is_named_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_kinds, "SUFFIXES", file_kinds.SUFFIXES - {".heic"})
    monkeypatch.setattr(file_kinds, "OTHER_IMAGES", file_kinds.OTHER_IMAGES | {".heic"})
    touch(tmp_path, "A/1.jpg", "B/1.jpg", "B/2.HEIC")
    (tmp_path / "B" / "3").write_bytes(b"\0\0\0\x18ftypheic")
    ((reason, count),) = reasons(tmp_path).items()
    assert "pip install 'concrete-study[heic]'" in reason
    assert count == (2, True)


def test_the_only_class_left_is_named_with_the_images_to_include(tmp_path: Path) -> None:
    touch(tmp_path, "A/1.jpg", "_B/1.jpg")
    with pytest.raises(DataError, match="1 images in _B/, which begins with an under") as caught:
        find_layout(tmp_path)
    assert caught.value.hint.startswith("include the excluded images as described, or add a folder")


def test_a_truncated_zip_file_cannot_be_unpacked(tmp_path: Path) -> None:
    touch(tmp_path / "a", "A/1.jpg", "B/1.jpg")
    whole = Path(shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "a"))
    whole.write_bytes(whole.read_bytes()[:100])
    with pytest.raises(DataError, match=r"a\.zip cannot be unpacked\.\n.*not a zip file"):
        open_archive(whole)


def test_folders_of_systems_and_tools_are_ignored_at_any_depth(tmp_path: Path) -> None:
    names = ["@eaDir", "$RECYCLE.BIN", "System Volume Information", ".ipynb_checkpoints"]
    names.append("__MACOSX")
    touch(tmp_path, "A/1.jpg", "B/1.jpg", *(f"{n}/1.jpg" for n in names))
    touch(tmp_path, *(f"A/{name}/{file}.jpg" for name in names for file in "23"))
    assert labelled(tmp_path) == {"A/1.jpg": "A", "B/1.jpg": "B"}
    assert reasons(tmp_path) == {f"files in system folders ({n})": (3, False) for n in names}


def test_links_are_followed_once_and_loops_end(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    external = touch(tmp_path_factory.mktemp("external"), "C/1.jpg", "C/2.jpg")
    touch(tmp_path, "A/1.jpg", "B/1.jpg")
    (tmp_path / "A" / "up").symlink_to(tmp_path)
    (tmp_path / "A" / "b").symlink_to(tmp_path / "B")
    (tmp_path / "C").symlink_to(external / "C")
    (tmp_path / "D").symlink_to(external / "C")
    (tmp_path / "A" / "self").symlink_to(tmp_path / "A" / "self")
    assert sorted(labelled(tmp_path)) == ["A/1.jpg", "B/1.jpg", "C/1.jpg", "C/2.jpg"]
    assert reasons(tmp_path)["links to folders that have been read already"] == (3, False)


def test_a_list_of_labels_may_name_files_or_paths(tmp_path: Path) -> None:
    root, listed = touch(tmp_path / "r", "x/1.jpg", "y/1.jpg", "2.jpg", "3.jpg"), tmp_path / "l.csv"
    listed.write_text("\ufefffile,class\nx\\1.jpg,a\ny/1.jpg,b\n2.jpg,b\n", encoding="utf-8")
    found = find_layout(root, labels=listed)
    assert {f.file: f.label for f in found.files} == {"x/1.jpg": "a", "y/1.jpg": "b", "2.jpg": "b"}
    assert [(i.reason, i.count) for i in found.ignored] == [("not in the list of labels", 1)]
    mapped = find_layout(root, labels=listed, class_map={"a": "cracked"})
    assert mapped.classes == ["b", "cracked"]
    with pytest.raises(DataError, match=r"only one class .*\nExpected several classes in .*l\.csv"):
        find_layout(root, labels=listed, class_map={"a": "b"})
    listed.write_text("file,class\n2.jpg,a\n3.jpg,b\n4.jpg,b\n5.jpg,b\n")
    with pytest.raises(DataError, match=r"names 2 of 4 files .*\n.*missing: 4\.jpg"):
        find_layout(root, labels=listed)
    for wrong in (
        "name,class\n2.jpg,a\n",
        "file,class\n2.jpg,a\n2.jpg,b\n",
        "file,class\n2.jpg,\n",
    ):
        listed.write_text(wrong)
        with pytest.raises(UsageError, match="columns file and class") as caught:
            find_layout(root, labels=listed)
        assert caught.value.parameter == "labels"


def images_of(*listed: str) -> tuple[list[LabelledImage], dict[str, str]]:
    """Images and groups from `label subset content group`."""
    fields = [line.split() for line in listed]
    images = [LabelledImage(f"{s}/{a}/{c}", a, c, "" if s == "-" else s) for a, s, c, _ in fields]
    return images, {c: group for _, _, c, group in fields}


def test_near_duplicates_of_a_given_test_set_are_left_out_of_the_other_subsets() -> None:
    images, groups = images_of(
        *(f"{label} train {label}{n} {label}{n}" for label in "AB" for n in range(4)),
        *("A validation av a", "B validation bv b", "A test at x", "B test bt y"),
        *("A train ax x", "B validation by y", "A train aa a"),
    )
    recorder = Recorder()
    rows = complete_split(
        images, seed=1, groups=groups, shares=(0.7, 0.15, 0.15), earlier={}, progress=recorder
    )
    assert Counter(row.subset for row in rows) == {"train": 8, "validation": 2, "test": 2}
    assert recorder.messages == [
        "1 of 3 validation images excluded: near-duplicates of test images.",
        "1 of 10 train images excluded: near-duplicates of test images.",
        "1 of 10 train images excluded: near-duplicates of validation images.",
    ]
    subset_of: dict[str, set[str]] = {}
    for row in rows:
        subset_of.setdefault(row.group, set()).add(row.subset)
    assert all(len(found) == 1 for found in subset_of.values())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("test", {"train": 16, "validation": 4, "test": 2}),
        ("validation", {"train": 16, "validation": 2, "test": 4}),
    ],
)
def test_a_missing_subset_is_split_off_the_training_images(
    given: str, expected: dict[str, int]
) -> None:
    images, groups = images_of(
        *(f"{label} train {label}{n} {label}{n}" for label in "AB" for n in range(10)),
        *(f"A {given} a a", f"B {given} b b"),
    )
    rows = complete_split(
        images, seed=1, groups=groups, shares=(0.8, 0.2, 0.2), earlier={}, progress=SILENT
    )
    assert Counter(row.subset for row in rows) == expected


def test_training_images_that_are_all_in_the_test_set_are_an_error() -> None:
    images, groups = images_of("A train a a", "B train b b", "A test a2 a", "B test b2 x")
    with pytest.raises(DataError, match="class A has no training images left"):
        complete_split(
            images, seed=1, groups=groups, shares=(0.7, 0.2, 0.1), earlier={}, progress=SILENT
        )


@pytest.fixture
def zipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    touch(tmp_path / "images", "A/1.jpg", "B/1.jpg")
    return Path(shutil.make_archive(str(tmp_path / "photos"), "zip", tmp_path / "images"))


def test_a_zip_file_is_unpacked_once_by_its_content(zipped: Path) -> None:
    folder = open_archive(zipped)
    assert folder.name == "photos"
    assert find_layout(folder).classes == ["A", "B"]
    before = folder.stat().st_mtime_ns
    assert open_archive(zipped) == open_archive(zipped.rename(zipped.with_name("b.zip"))) == folder
    assert folder.stat().st_mtime_ns == before
    assert open_archive(folder) == folder


@pytest.mark.parametrize("name", ["../a.jpg", "/a.jpg", "A/../../a.jpg", "..\\a.jpg", "C:/a.jpg"])
def test_a_zip_file_that_leads_outside_its_folder_is_refused(
    name: str, zipped: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(DataError, match="leads outside its folder"):
        open_archive(zipped)
    assert not list((tmp_path / "cache").rglob("*.jpg"))


def test_a_zip_file_that_does_not_fit_or_is_damaged_leaves_nothing(
    zipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(archives, "_BLOCK", 1 << 60)

        with pytest.raises(ResourceError, match="not enough disk space"):
            open_archive(zipped)
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr("A/2.jpg", b"content" * 9)
    zipped.write_bytes(zipped.read_bytes().replace(b"content", b"damaged"))
    with pytest.raises(DataError, match=r"cannot be unpacked\.\n.*Bad CRC"):
        open_archive(zipped)
    assert not list((tmp_path / "cache").rglob("*.jpg"))


def test_a_rar_archive_is_refused_with_what_to_do(tmp_path: Path) -> None:
    touch(tmp_path, "metu.rar")
    with pytest.raises(DataError, match=r"is a RAR archive\.\n.*\nTry: unpack it.* 7z x metu\.rar"):
        open_archive(tmp_path / "metu.rar")
