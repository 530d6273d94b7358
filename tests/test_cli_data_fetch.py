import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_archive import make_rar
from small_server import Answer, FileServer, serving

import concrete_study.datasets.download
from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.download import CHUNK, METU

RAR = make_rar({"Negative/1.jpg": bytes(2**20), "Positive/1.jpg": b"crack", "Positive/2.jpg": b"!"})


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """METU, but tiny and on this machine, in a folder and with a cache of its own."""
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    with serving(RAR) as server:
        digest = hashlib.sha256(RAR).hexdigest()
        small = METU._replace(url=server.url, size=len(RAR), sha256=digest)
        monkeypatch.setattr(concrete_study.datasets.download, "METU", small)
        yield server


def test_it_prints_folders_citation_licence_and_the_next_command(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "fetch", "metu"]) == ExitCode.OK
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "datasets/Negative: 1 images",
        "datasets/Positive: 2 images",
    ]
    lines = printed.err.splitlines()
    assert f"Please cite: {METU.citation}" in lines
    assert f"Licence: {METU.licence}" in lines
    assert lines[-1] == "Next: study search"
    assert (tmp_path / "datasets/Positive/2.jpg").read_bytes() == b"!"


def test_the_next_command_names_another_folder(
    server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "fetch", "metu", "--output", "my images", "--keep-archive"]) == ExitCode.OK
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "Next: study search --data 'my images'"
    assert any(line.startswith("Archive: ") and line.endswith("metu.rar") for line in lines)


def test_a_mirror_and_a_local_archive_are_used(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers = [Answer.REDIRECT]
    assert run(["data", "fetch", "metu", "--url", server.url, "--output", "a"]) == ExitCode.OK
    (tmp_path / "hand.rar").write_bytes(RAR)
    assert run(["data", "fetch", "metu", "--archive", "hand.rar", "--output", "b"]) == ExitCode.OK
    assert len(server.ranges) == 2


def test_a_failed_download_is_one_message_and_an_exit_code(
    server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers = [Answer.MISSING]
    assert run(["data", "fetch", "metu"]) == ExitCode.RESOURCES
    printed = capsys.readouterr()
    assert printed.out == ""
    problem, expected, hint = printed.err.splitlines()
    assert problem == "Error: the download failed: HTTP status 404."
    assert expected == f"Expected {len(RAR):,} bytes from {server.url}."
    assert hint.startswith(f"Try: download {server.url} in a browser")
    assert run(["data", "fetch", "mutu"]) == ExitCode.USAGE


def test_sigterm_during_a_stalled_download_ends_at_once_and_keeps_the_received_part(
    server: FileServer, tmp_path: Path
) -> None:
    server.answers, server.length = [Answer.STALL], METU.size
    process = subprocess.Popen(
        [sys.executable, "-m", "concrete_study", "data", "fetch", "metu", "--url", server.url],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stderr=subprocess.PIPE,
        text=True,
    )
    part = tmp_path / "cache" / "downloads" / "metu.rar.part"
    deadline = time.monotonic() + 60
    expected = len(RAR) // 2 // CHUNK * CHUNK
    while not (part.exists() and part.stat().st_size >= expected) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, printed = process.communicate(timeout=20)
    assert process.returncode == ExitCode.INTERRUPTED, printed
    assert "Traceback" not in printed
    assert part.read_bytes() == RAR[:expected]
    assert not (tmp_path / "datasets").exists()
