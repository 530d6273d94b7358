from collections.abc import Mapping
from pathlib import Path

import pytest
from small_archive import COMPRESSED, make_rar

from concrete_study.datasets.archive import Member, list_members, unpack
from concrete_study.datasets.errors import ResourceError

CLASSES = ("Negative", "Positive")
FILES = {
    "Negative/00001.jpg": b"sound",
    "Negative/Riß 2.jpg": b"",
    "Positive/00001_1.jpg": b"crack",
}


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_every_file_arrives_in_its_class(tmp_path: Path) -> None:
    archive = written(tmp_path / "some *.rar", make_rar(FILES))
    seen: list[int] = []
    counts = unpack(archive, tmp_path / "a" / "b", CLASSES, on_image=lambda: seen.append(1))
    assert counts == {"Negative": 2, "Positive": 1}
    assert contents(tmp_path / "a" / "b") == FILES
    assert len(seen) == 3


@pytest.mark.parametrize("kind", COMPRESSED)
def test_compressed_archives_are_unpacked(kind: str, tmp_path: Path) -> None:
    archive = written(tmp_path / "images.rar", COMPRESSED[kind])
    unpack(archive, tmp_path / "images", CLASSES)
    assert contents(tmp_path / "images") == {
        f"{name}/1.jpg": f"{name} ".encode() * 400 for name in CLASSES
    }


def test_members_are_listed_with_what_they_are(tmp_path: Path) -> None:
    archive = written(tmp_path / "x.rar", make_rar({"a/1.jpg": b"1"}, links={"a/2.jpg": "/etc"}))
    assert list_members(archive) == [Member("a/1.jpg", False, ""), Member("a/2.jpg", False, "/etc")]


@pytest.mark.parametrize(
    "name",
    [
        "../escaped.jpg",
        "Negative/../../escaped.jpg",
        "Negative/..",
        "/tmp/escaped.jpg",
        "Negative/deeper/1.jpg",
        "Negative\\..\\..\\escaped.jpg",
        "Others/1.jpg",
        "readme.txt",
    ],
)
def test_a_member_outside_the_classes_is_refused_before_anything_is_written(
    name: str, tmp_path: Path
) -> None:
    archive = written(tmp_path / "evil.rar", make_rar({**FILES, name: b"evil"}))
    with pytest.raises(ResourceError, match="does not belong there") as caught:
        unpack(archive, tmp_path / "images", CLASSES)
    assert caught.value.expected == f"Expected files in Negative/ and Positive/; received {name}."
    assert list(tmp_path.iterdir()) == [archive]


def test_a_link_is_refused(tmp_path: Path) -> None:
    rar = make_rar(FILES, links={"Negative/passwd.jpg": "/etc/passwd"})
    with pytest.raises(ResourceError) as caught:
        unpack(written(tmp_path / "evil.rar", rar), tmp_path / "images", CLASSES)
    assert "received Negative/passwd.jpg -> /etc/passwd." in caught.value.expected


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<html>", "Cannot open the file as archive"),
        (make_rar(FILES).replace(b"crack", b"crock"), "CRC Failed"),
        (make_rar(FILES)[:-30], "code 2"),
    ],
)
def test_a_damaged_archive_leaves_nothing(content: bytes, says: str, tmp_path: Path) -> None:
    archive = written(tmp_path / "damaged.rar", content)
    with pytest.raises(ResourceError, match="cannot be unpacked") as caught:
        unpack(archive, tmp_path / "images", CLASSES)
    assert says in caught.value.expected
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize("files", [{"Negative/1.jpg": b"1"}, {}])
def test_a_class_that_is_missing_is_an_error(files: Mapping[str, bytes], tmp_path: Path) -> None:
    archive = written(tmp_path / "half.rar", make_rar(files))
    with pytest.raises(ResourceError, match="every class"):
        unpack(archive, tmp_path / "images", CLASSES)
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupt_leaves_nothing(error: type[BaseException], tmp_path: Path) -> None:
    archive = written(tmp_path / "images.rar", make_rar(FILES))

    def interrupt() -> None:
        raise error

    with pytest.raises(error):
        unpack(archive, tmp_path / "images", CLASSES, on_image=interrupt)
    assert list(tmp_path.iterdir()) == [archive]


def test_when_the_second_class_cannot_be_placed_the_first_is_taken_back(tmp_path: Path) -> None:
    archive = written(tmp_path / "images.rar", make_rar(FILES))
    mine = tmp_path / "images" / "Positive" / "mine.jpg"
    mine.parent.mkdir(parents=True)
    mine.touch()
    with pytest.raises(OSError, match="not empty"):
        unpack(archive, tmp_path / "images", CLASSES)
    assert contents(tmp_path / "images") == {"Positive/mine.jpg": b""}


def test_other_files_stay_and_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    archive = written(tmp_path / "images.rar", make_rar(FILES))
    folder = tmp_path / "images"
    (folder / ".unpacking" / "Negative").mkdir(parents=True)
    (folder / ".unpacking" / "Negative" / "half.jpg").touch()
    (folder / "Negative").mkdir()
    (folder / "notes.txt").touch()
    unpack(archive, folder, CLASSES)
    assert contents(folder) == {**FILES, "notes.txt": b""}
    assert not (folder / ".unpacking").exists()
