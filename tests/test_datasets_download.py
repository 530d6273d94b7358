import hashlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock
from small_archive import COMPRESSED, make_rar
from small_server import Answer, FileServer, serving

from concrete_study.datasets import download
from concrete_study.datasets.download import METU, Collection, fetch
from concrete_study.datasets.errors import DataError, ResourceError, UsageError
from concrete_study.datasets.progress import Progress

FILES = {"Negative/Riß 1.jpg": os.urandom(1_100_000), "Positive/1.jpg": os.urandom(900_000)}
RAR = make_rar(FILES)
PLACED = ["Negative", "Negative/Riß 1.jpg", "Positive", "Positive/1.jpg"]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


class Recorder(Progress):
    """Records messages and counts; interrupts one kind of work as Ctrl-C does."""

    def __init__(self, *, interrupt: str = "") -> None:
        self.interrupt = interrupt
        self.messages: list[str] = []
        self.counted: list[tuple[str, int, int]] = []

    def log(self, message: str) -> None:
        self.messages.append(message)

    @contextmanager
    def counting(
        self, description: str, total: int, unit: str = "images"
    ) -> Iterator[Callable[[int], None]]:
        counts: list[int] = []

        def count(done: int) -> None:
            counts.append(done)
            if description == self.interrupt and any(counts):
                raise KeyboardInterrupt

        yield count
        self.counted.append((f"{description} ({unit})", total, sum(counts)))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE", 0)
    with serving(RAR) as server:
        yield server


def collection_of(content: bytes, url: str) -> Collection:
    digest = hashlib.sha256(content).hexdigest()
    return METU._replace(url=url, size=len(content), sha256=digest, images=2)


@pytest.fixture
def small(server: FileServer) -> Collection:
    """METU, but small and on this machine."""
    return collection_of(RAR, server.url)


def below(folder: Path) -> list[str]:
    """Every file and folder below a folder, including hidden ones."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_the_images_arrive_and_the_archive_is_removed(
    small: Collection, server: FileServer, tmp_path: Path
) -> None:
    server.answers = [Answer.REDIRECT]
    progress = Recorder()
    assert fetch(small, tmp_path / "a" / "b", progress) == {"Negative": 1, "Positive": 1}
    assert below(tmp_path / "a" / "b") == PLACED
    assert {file: (tmp_path / "a" / "b" / file).read_bytes() for file in FILES} == FILES
    assert below(tmp_path / "cache") == ["downloads", "downloads/metu.lock"]
    assert server.ranges == [None, None]
    assert progress.messages == []
    assert progress.counted == [("downloading metu (MB)", 2, 2), ("unpacking (images)", 0, 2)]


@pytest.mark.parametrize("kind", COMPRESSED)
def test_compressed_archives_are_unpacked(kind: str, server: FileServer, tmp_path: Path) -> None:
    server.content, server.length = COMPRESSED[kind], len(COMPRESSED[kind])
    fetch(collection_of(server.content, server.url), tmp_path / "images")
    for name in ("Negative", "Positive"):
        assert (tmp_path / "images" / name / "1.jpg").read_text() == f"{name} " * 400


def test_a_kept_archive_is_not_downloaded_again(
    small: Collection, server: FileServer, tmp_path: Path
) -> None:
    fetch(small, tmp_path / "first", keep_archive=True)
    assert small.archive.read_bytes() == RAR
    fetch(small, tmp_path / "second")
    assert below(tmp_path / "second") == PLACED
    assert len(server.ranges) == 1


def test_a_broken_connection_is_resumed(
    small: Collection, server: FileServer, tmp_path: Path
) -> None:
    server.answers = [Answer.BREAK, Answer.BUSY, Answer.REDIRECT]
    progress = Recorder()
    fetch(small, tmp_path / "images", progress)
    assert below(tmp_path / "images") == PLACED
    assert progress.messages[1] == "Download interrupted (HTTP status 503): trying again."
    assert server.ranges[0] is None
    assert server.ranges[1] == server.ranges[2] == server.ranges[3]
    assert server.ranges[1] is not None
    start = int(server.ranges[1].removeprefix("bytes=").rstrip("-"))
    assert len(RAR) // 2 - download.CHUNK <= start <= len(RAR) // 2


def test_what_has_arrived_stays_for_the_next_call(
    small: Collection, server: FileServer, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fetch(small, tmp_path / "images", Recorder(interrupt="downloading metu"))
    server.answers = [Answer.BUSY] * download.ATTEMPTS
    with pytest.raises(ResourceError, match="interrupted 10 times") as caught:
        fetch(small, tmp_path / "images")
    present = small.archive.with_suffix(".rar.part").stat().st_size
    assert caught.value.expected.endswith(f"received {present:,} so far.")
    assert not (tmp_path / "images").exists()
    fetch(small, tmp_path / "images")
    assert below(tmp_path / "images") == PLACED
    assert server.ranges[-1] == f"bytes={present}-"


@pytest.mark.parametrize("response", [Answer.NO_RANGES, Answer.REFUSED_RANGE])
def test_without_range_support_the_download_restarts(
    response: Answer, small: Collection, server: FileServer, tmp_path: Path
) -> None:
    server.answers = [Answer.BREAK, response]
    fetch(small, tmp_path / "images")
    assert below(tmp_path / "images") == PLACED


@pytest.mark.parametrize("response", [Answer.STALL, Answer.SILENCE])
def test_a_silent_connection_is_given_up(
    response: Answer, small: Collection, server: FileServer, tmp_path: Path
) -> None:
    server.answers = [Answer.BREAK, response]
    progress = Recorder()
    fetch(small, tmp_path / "images", progress, silence=0.3)
    assert below(tmp_path / "images") == PLACED
    assert len(progress.messages) == 2


@pytest.mark.parametrize("content", [RAR[:-1] + b"x", RAR + b"x", b"<p>!"])
def test_another_file_is_refused_and_removed(
    content: bytes, small: Collection, server: FileServer, tmp_path: Path
) -> None:
    server.content, server.length = content, len(content)
    with pytest.raises(ResourceError, match="is not the archive of metu") as caught:
        fetch(small, tmp_path / "images")
    received = hashlib.sha256(content).hexdigest()
    assert small.sha256 in caught.value.expected
    assert f"received {len(content):,} bytes, SHA-256 {received}" in caught.value.expected
    assert below(tmp_path) == ["cache", "cache/downloads", "cache/downloads/metu.lock"]


def test_a_missing_file_is_requested_once(
    small: Collection, server: FileServer, tmp_path: Path
) -> None:
    server.answers = [Answer.MISSING]
    with pytest.raises(ResourceError, match="failed: HTTP status 404") as caught:
        fetch(small, tmp_path / "images")
    assert caught.value.hint.startswith(f"download {server.url} in a browser")
    assert len(server.ranges) == 1


def test_no_network_is_an_error_at_once(small: Collection, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/file"
        with pytest.raises(ResourceError, match="failed: ConnectionError") as caught:
            fetch(small._replace(url=url), tmp_path / "images")
    assert url in caught.value.hint


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_an_error(small: Collection, server: FileServer, tmp_path: Path) -> None:
    part = small.archive.with_suffix(".rar.part")
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    with pytest.raises(ResourceError, match=r"part cannot be written: No space left"):
        fetch(small, tmp_path / "images")
    assert len(server.ranges) == 1


def test_room_for_archive_and_images_together_is_checked_first(
    small: Collection, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = len(RAR) + small.unpacked
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, needed - 1))
    with pytest.raises(ResourceError, match="not enough disk space") as caught:
        fetch(small, tmp_path / "images")
    assert "Expected 342 MB" in caught.value.expected
    assert server.ranges == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, needed))
    fetch(small, tmp_path / "first", keep_archive=True)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, small.unpacked))
    fetch(small, tmp_path / "second")


@pytest.mark.parametrize("kind", ["folder with a file", "file", "dead link"])
def test_class_folders_that_exist_are_not_touched(
    kind: str, small: Collection, server: FileServer, tmp_path: Path
) -> None:
    folder = tmp_path / "images" / "Positive"
    folder.parent.mkdir()
    if kind == "file":
        folder.touch()
    elif kind == "dead link":
        folder.symlink_to("nowhere")
    else:
        folder.mkdir()
        (folder / "mine.jpg").touch()
    before = below(tmp_path)
    with pytest.raises(DataError, match="Positive exists"):
        fetch(small, tmp_path / "images")
    assert (below(tmp_path), server.ranges) == (before, [])


def test_other_files_and_empty_class_folders_are_no_obstacle(
    small: Collection, tmp_path: Path
) -> None:
    (tmp_path / "images" / ".unpacking" / "Negative").mkdir(parents=True)  # of a killed process
    (tmp_path / "images" / "Negative").mkdir()
    (tmp_path / "images" / "notes.txt").touch()
    fetch(small, tmp_path / "images")
    assert below(tmp_path / "images") == [*PLACED, "notes.txt"]


def test_an_interrupted_unpacking_leaves_only_the_archive(
    small: Collection, server: FileServer, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fetch(small, tmp_path / "images", Recorder(interrupt="unpacking"))
    assert not (tmp_path / "images").exists()
    fetch(small, tmp_path / "images")
    assert below(tmp_path / "images") == PLACED
    assert len(server.ranges) == 1


def test_an_archive_that_cannot_be_unpacked_leaves_nothing(
    server: FileServer, tmp_path: Path
) -> None:
    server.content = RAR[: len(RAR) // 2]
    server.length = len(server.content)
    with pytest.raises(ResourceError, match="cannot be unpacked"):
        fetch(collection_of(server.content, server.url), tmp_path / "images")
    assert not (tmp_path / "images").exists()


def test_if_one_class_cannot_be_renamed_no_class_appears(
    small: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if target == tmp_path / "images" / "Positive":
            raise PermissionError
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(PermissionError):
        fetch(small, tmp_path / "images")
    assert not (tmp_path / "images").exists()


def test_an_archive_given_as_a_file_is_kept_and_nothing_is_downloaded(
    small: Collection, server: FileServer, tmp_path: Path
) -> None:
    archive = tmp_path / "by hand *.rar"
    archive.write_bytes(RAR)
    fetch(small, tmp_path / "images", archive=archive)
    assert below(tmp_path / "images") == PLACED
    archive.write_bytes(b"other")
    with pytest.raises(ResourceError, match="is not the archive of metu"):
        fetch(small, tmp_path / "second", archive=archive)
    assert archive.exists()
    with pytest.raises(UsageError, match="no file"):
        fetch(small, tmp_path / "second", archive=tmp_path / "missing.rar")
    assert server.ranges == []


def test_two_processes_do_not_download_the_same(small: Collection, tmp_path: Path) -> None:
    small.archive.parent.mkdir(parents=True)
    with (
        FileLock(small.archive.with_suffix(".lock")),
        pytest.raises(ResourceError, match="another process"),
    ):
        fetch(small, tmp_path / "images")
    fetch(small, tmp_path / "images")


def test_metu_names_its_authors_and_licence() -> None:
    assert "Özgenel" in METU.citation
    assert "10.17632/5y9wdsg2zt.2" in METU.citation
    assert METU.licence.startswith("CC BY 4.0")
