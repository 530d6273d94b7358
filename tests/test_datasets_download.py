import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock
from small_archive import make_rar
from small_server import Answer, FileServer, serving

from concrete_study.datasets.download import METU, Collection, archive_path, fetch
from concrete_study.datasets.errors import DataError, ResourceError, UsageError
from concrete_study.datasets.transfer import Patience

FILES = {"Negative/00001.jpg": b"sound" * 2000, "Positive/00001_1.jpg": b"crack" * 3000}
RAR = make_rar(FILES)
HASTE = Patience(silence=20, tries=1, pause=0)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


class Listener:
    """Hears everything and says nothing; can be interrupted at one kind of work."""

    def __init__(self, *, interrupt_at: str = "") -> None:
        self.interrupt_at = interrupt_at

    def log(self, text: str) -> None:
        pass

    @contextmanager
    def counting(
        self, what: str, total: int, unit: str = "images"
    ) -> Iterator[Callable[[int], None]]:
        def count(number: int) -> None:
            if what == self.interrupt_at:
                raise KeyboardInterrupt

        yield count


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(RAR) as server:
        yield server


@pytest.fixture
def small(server: FileServer) -> Collection:
    """METU, but tiny and on this machine."""
    digest = hashlib.sha256(RAR).hexdigest()
    return METU._replace(url=server.url, size=len(RAR), sha256=digest, images=2)


def below(folder: Path) -> list[str]:
    """Every file and folder below a folder, hidden ones too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


PLACED = ["Negative", "Negative/00001.jpg", "Positive", "Positive/00001_1.jpg"]


def test_the_photographs_come_and_the_archive_goes(
    small: Collection, server: FileServer, tmp_path: Path
) -> None:
    counts = fetch(small, tmp_path / "images", Listener())
    assert counts == {"Negative": 1, "Positive": 1}
    assert below(tmp_path / "images") == PLACED
    assert (tmp_path / "images/Positive/00001_1.jpg").read_bytes() == FILES["Positive/00001_1.jpg"]
    assert [name for name in below(tmp_path / "cache") if name.endswith((".rar", ".part"))] == []
    assert server.ranges == [None]


def test_a_kept_archive_is_not_fetched_again(
    small: Collection, server: FileServer, tmp_path: Path
) -> None:
    fetch(small, tmp_path / "first", Listener(), keep_archive=True)
    assert archive_path(small).read_bytes() == RAR
    fetch(small, tmp_path / "second", Listener())
    assert below(tmp_path / "second") == PLACED
    assert len(server.ranges) == 1


def test_a_broken_download_goes_on_with_the_next_call(
    small: Collection, server: FileServer, tmp_path: Path
) -> None:
    server.answers = [Answer.BREAK, Answer.BUSY]
    with pytest.raises(ResourceError, match="broke off"):
        fetch(small, tmp_path / "images", Listener(), patience=HASTE)
    assert not (tmp_path / "images").exists()
    fetch(small, tmp_path / "images", Listener())
    assert below(tmp_path / "images") == PLACED
    assert server.ranges[-1] == f"bytes={len(RAR) // 2}-"


def test_an_interrupt_while_unpacking_leaves_nothing_but_the_archive(
    small: Collection, server: FileServer, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fetch(small, tmp_path / "images", Listener(interrupt_at="unpacking"))
    assert not (tmp_path / "images").exists()
    fetch(small, tmp_path / "images", Listener())
    assert below(tmp_path / "images") == PLACED
    assert len(server.ranges) == 1


def test_a_wrong_content_is_named_by_both_hashes_and_removed(
    small: Collection, server: FileServer, tmp_path: Path
) -> None:
    server.content = RAR[:-1] + b"x"
    with pytest.raises(ResourceError, match="is not metu's archive") as caught:
        fetch(small, tmp_path / "images", Listener())
    received = hashlib.sha256(server.content).hexdigest()
    assert caught.value.expected == f"Expected SHA-256 {small.sha256}; received {received}."
    assert caught.value.hint.startswith("the same command again, as that file was removed; or ")
    assert below(tmp_path) == ["cache", "cache/downloads", "cache/downloads/metu.lock"]


def test_an_archive_fetched_by_hand_needs_no_network_and_stays(
    small: Collection, server: FileServer, tmp_path: Path
) -> None:
    archive = tmp_path / "by hand.rar"
    archive.write_bytes(RAR)
    fetch(small, tmp_path / "images", Listener(), archive=archive)
    assert below(tmp_path / "images") == PLACED
    assert archive.read_bytes() == RAR
    assert server.ranges == []


def test_another_file_by_hand_is_refused_and_stays(small: Collection, tmp_path: Path) -> None:
    archive = tmp_path / "other.rar"
    archive.write_bytes(b"other")
    with pytest.raises(ResourceError) as caught:
        fetch(small, tmp_path / "images", Listener(), archive=archive)
    assert caught.value.expected == f"Expected {len(RAR):,} bytes; received 5."
    assert caught.value.hint.startswith(f"download {small.url} by hand")
    assert archive.exists()
    with pytest.raises(UsageError, match="no file"):
        fetch(small, tmp_path / "images", Listener(), archive=tmp_path / "nowhere.rar")


def test_a_file_in_the_folders_place_is_refused_before_anything_is_fetched(
    small: Collection, server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / "images").touch()
    with pytest.raises(UsageError, match="is no folder"):
        fetch(small, tmp_path / "images", Listener())
    assert server.ranges == []


@pytest.mark.parametrize("kind", ["folder with a file", "file", "dead link"])
def test_class_folders_with_files_are_not_touched(
    kind: str, small: Collection, server: FileServer, tmp_path: Path
) -> None:
    place = tmp_path / "images" / "Positive"
    place.parent.mkdir()
    if kind == "file":
        place.touch()
    elif kind == "dead link":
        place.symlink_to("nowhere")
    else:
        place.mkdir()
        (place / "mine.jpg").touch()
    before = below(tmp_path)
    with pytest.raises(DataError, match="Positive is taken") as caught:
        fetch(small, tmp_path / "images", Listener())
    assert f"study search --data {tmp_path / 'images'}" in caught.value.hint
    assert (below(tmp_path), server.ranges) == (before, [])


def test_room_for_archive_and_photographs_together_is_looked_for_first(
    small: Collection, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = len(RAR) + small.unpacked
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, needed - 1))
    with pytest.raises(ResourceError, match="not enough room") as caught:
        fetch(small, tmp_path / "images", Listener())
    assert "Expected 340 MB" in caught.value.expected
    assert server.ranges == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, needed))
    fetch(small, tmp_path / "images", Listener())


def test_what_has_arrived_needs_no_room_again(
    small: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(small, tmp_path / "first", Listener(), keep_archive=True)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, small.unpacked))
    fetch(small, tmp_path / "second", Listener())
    assert any((tmp_path / "second").rglob("*.jpg"))


def test_two_processes_do_not_fetch_the_same(small: Collection, tmp_path: Path) -> None:
    lock = archive_path(small).with_suffix(".lock")
    lock.parent.mkdir(parents=True)
    with FileLock(lock), pytest.raises(ResourceError, match="is being fetched already"):
        fetch(small, tmp_path / "images", Listener())
    fetch(small, tmp_path / "images", Listener())


def test_metu_says_whose_it_is() -> None:
    assert "Özgenel" in METU.citation
    assert "10.17632/5y9wdsg2zt.2" in METU.citation
    assert METU.licence.startswith("CC BY 4.0")
