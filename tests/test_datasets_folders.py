import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_study import Recorder

import concrete_study.datasets
from concrete_study.datasets import folders
from concrete_study.datasets.decoding import decode_image, thumbnail
from concrete_study.datasets.errors import DataError
from concrete_study.datasets.folders import read_folder
from concrete_study.datasets.tree import has_images


def image(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = "JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG"
    Image.new("RGB", (8, 8), (shade % 256, shade // 256, 7)).save(path, format=kind)
    return path


@pytest.fixture
def two_classes(tmp_path: Path) -> Path:
    for number in range(3):
        image(tmp_path / "Negative" / f"{number}.jpg", number)
        image(tmp_path / "Positive" / f"{number}.png", 100 + number)
    return tmp_path


@pytest.fixture
def ordinary_user() -> Iterator[Path]:
    """A folder that every user can access; the test runs without root permissions."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for path in folder.rglob("*"):
            path.chmod(0o755)
        shutil.rmtree(folder)


def test_classes_images_and_labels_are_those_of_the_folders(two_classes: Path) -> None:
    found = read_folder(two_classes)
    assert found.classes == ["Negative", "Positive"]
    assert [i.file for i in found.images] == [
        *(f"Negative/{n}.jpg" for n in range(3)),
        *(f"Positive/{n}.png" for n in range(3)),
    ]
    assert all(i.label == i.file.split("/")[0] for i in found.images)
    assert found.faults == []


def test_progress_counts_each_file_once(two_classes: Path) -> None:
    recorder = Recorder()
    read_folder(two_classes, progress=recorder)
    assert recorder.counted == {"reading images": 6}


@pytest.mark.parametrize("count", [2, 3, 11])
def test_any_number_of_classes_is_read(count: int, tmp_path: Path) -> None:
    for number in range(count):
        image(tmp_path / f"class {number:02}" / "a.png", number)
    assert len(read_folder(tmp_path).classes) == count


def test_hidden_folders_and_caches_are_ignored(two_classes: Path) -> None:
    for name in (".git", "__pycache__", "Negative/.ipynb_checkpoints", "Positive/__MACOSX"):
        image(two_classes / name / "0.jpg", 9)
    (two_classes / "notes").mkdir()
    (two_classes / "notes" / "read.me").write_text("no image")
    found = read_folder(two_classes)
    assert found.classes == ["Negative", "Positive"]
    assert len(found.images) == 6


def test_the_package_datasets_holds_no_images() -> None:
    root = Path(str(concrete_study.datasets.__file__)).parent
    assert root.name == "datasets"
    assert not has_images(root)


def test_nested_folders_upper_case_spaces_and_other_scripts_are_read(two_classes: Path) -> None:
    names = ["Positive/site 1/day 2/A B.JPG", "Positive/Brücke/Riß.PNG", "Negative/橋.JpEg"]
    for number, name in enumerate(names):
        image(two_classes / name, 200 + number)
    found = {i.file: i.label for i in read_folder(two_classes).images}
    assert {found[name] for name in names[:2]} == {"Positive"}
    assert found[names[2]] == "Negative"


def test_a_linked_image_and_a_linked_class_count_and_a_dead_link_is_a_fault(
    two_classes: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    external = tmp_path_factory.mktemp("external")
    image(external / "Third" / "a.png", 55)
    (two_classes / "Third").symlink_to(external / "Third")
    (two_classes / "Negative" / "link.png").symlink_to(external / "Third" / "a.png")
    (two_classes / "Negative" / "dead.png").symlink_to(external / "nowhere.png")
    found = read_folder(two_classes)
    assert found.classes == ["Negative", "Positive", "Third"]
    assert "Negative/link.png" in [i.file for i in found.images]
    assert [f.file for f in found.faults] == ["Negative/dead.png"]
    assert "No such file" in found.faults[0].reason


def test_a_pipe_with_an_image_name_does_not_stop_the_reading(two_classes: Path) -> None:
    os.mkfifo(two_classes / "Negative" / "pipe.jpg")
    assert len(read_folder(two_classes).images) == 6


def test_every_fault_is_listed_and_the_rest_is_read(two_classes: Path) -> None:
    folder = two_classes / "Positive"
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no image")
    (folder / "half.jpg").write_bytes(image(folder / "x.jpg", 5).read_bytes()[:200])
    (folder / "scan.TIFF").write_bytes(b"II*\0")
    found = read_folder(two_classes)
    assert len(found.images) == 7
    assert [Path(f.file).name for f in found.faults] == [
        "empty.jpg",
        "half.jpg",
        "scan.TIFF",
        "text.png",
    ]
    assert all(f.reason for f in found.faults)


def test_a_name_that_is_not_utf_8_is_a_fault_that_can_be_printed(two_classes: Path) -> None:
    odd = os.fsencode(two_classes / "Positive") + b"/\xff.png"
    try:
        Path(os.fsdecode(odd)).write_bytes((two_classes / "Positive" / "0.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    found = read_folder(two_classes)
    assert [f.reason for f in found.faults] == ["its name is not UTF-8"]
    found.faults[0].file.encode()
    assert len(found.fingerprint) == 64


def test_a_file_without_read_permission_is_a_fault(ordinary_user: Path) -> None:
    for number, name in enumerate(["A/0.png", "A/1.png", "B/0.png"]):
        image(ordinary_user / name, number)
    (ordinary_user / "A" / "1.png").chmod(0)
    found = read_folder(ordinary_user)
    assert [(f.file, f.reason) for f in found.faults] == [
        ("A/1.png", "unreadable: Permission denied")
    ]


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
def test_a_class_without_read_permission_is_an_error(mode: int, ordinary_user: Path) -> None:
    for number, name in enumerate(["A/0.png", "B/0.png", "C/0.png"]):
        image(ordinary_user / name, number)
    (ordinary_user / "C").chmod(mode)
    with pytest.raises(DataError, match=r"C.* cannot be read"):
        read_folder(ordinary_user)


def test_the_fingerprint_depends_only_on_content_and_names(
    two_classes: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = read_folder(two_classes).fingerprint
    copy = tmp_path_factory.mktemp("copy")
    for path in sorted(two_classes.rglob("*.*"), reverse=True):
        target = copy / path.relative_to(two_classes)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
        os.utime(target, (1, 1))
    assert read_folder(copy).fingerprint == before
    image(copy / "Negative" / "0.jpg", 77)
    changed = read_folder(copy).fingerprint
    assert changed != before
    (copy / "Negative" / "0.jpg").rename(copy / "Negative" / "9.jpg")
    assert read_folder(copy).fingerprint not in (before, changed)


def test_each_reason_for_too_few_classes_has_its_message(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder .*\n.*does not exist"):
        read_folder(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"is not a folder"):
        read_folder(tmp_path / "file")
    for number in range(3):
        image(tmp_path / f"{number}.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"found 4 files and 1 folders without images"):
        read_folder(tmp_path)
    image(tmp_path / "Positive" / "a.png")
    with pytest.raises(DataError, match=r"only one class in .*\n.*only in Positive/"):
        read_folder(tmp_path)


def test_a_class_of_faults_only_is_an_error_that_names_one_of_them(tmp_path: Path) -> None:
    image(tmp_path / "Pos" / "a.png")
    (tmp_path / "Pos" / "a.png").write_text("no image")
    (tmp_path / "A").mkdir()
    image(tmp_path / "A" / "a.png")
    # `Pos-2` sorts before `Pos/...` as text and begins like it.
    image(tmp_path / "Pos-2" / "good.png")
    (tmp_path / "Pos-2" / "bad.png").touch()
    with pytest.raises(DataError, match=r"class Pos can be read\.\n.*Pos/a\.png: not an image"):
        read_folder(tmp_path)


def test_a_class_may_be_called_train_next_to_another(tmp_path: Path) -> None:
    image(tmp_path / "train" / "a.png", 1)
    image(tmp_path / "tram" / "a.png", 2)
    assert read_folder(tmp_path).classes == ["train", "tram"]


def test_images_without_a_class_folder_are_an_error_with_a_hint(tmp_path: Path) -> None:
    assert not has_images(tmp_path / "nowhere")
    assert not has_images(tmp_path)
    image(tmp_path / "a.png")
    image(tmp_path / "B.JPG")
    image(tmp_path / ".hidden.png")
    (tmp_path / "notes.txt").touch()
    assert has_images(tmp_path)
    with pytest.raises(
        DataError, match=r"no class folders in .*\n.*2 images in no class folder.*\nTry: move the"
    ) as caught:
        read_folder(tmp_path)
    assert "sample" not in str(caught.value)


def test_content_that_was_decoded_before_is_only_hashed(
    two_classes: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    decoded: list[Path] = []

    def decode(path: Path, size: int | None = None) -> object:
        decoded.append(path)
        return decode_image(path, size)

    monkeypatch.setattr(folders, "decode_image", decode)
    (two_classes / "Negative" / "empty.png").touch()
    first = read_folder(two_classes)
    assert len(decoded) == 7
    for found in first.images:
        pixels = decode_image(two_classes / found.file)
        np.testing.assert_array_equal(first.thumbnails[found.sha256], thumbnail(pixels))
    decoded.clear()
    image(two_classes / "Positive" / "new.png", 77)
    again = read_folder(two_classes)
    assert sorted(path.name for path in decoded) == ["empty.png", "new.png"]
    assert set(first.images) < set(again.images)
    assert again.faults == first.faults
