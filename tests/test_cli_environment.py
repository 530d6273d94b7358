"""Shells, locales and settings that `study` does not choose: a result or one clear message."""

import codecs
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import pandas as pd
import pytest
from small_records import write_study

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.cli.streams import prepare_streams
from concrete_study.cli.tables import Format, print_frame
from concrete_study.datasets.errors import ResourceError
from concrete_study.models.keras_settings import set_backend, set_formats
from concrete_study.results.folder import StudyFolder

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
STUDY = f"{sys.executable} -m concrete_study"


def shell(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a shell script in a folder, with `study` defined."""
    return subprocess.run(
        ["sh", "-c", f'study() {{ {STUDY} "$@"; }}\n{script}'],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with a study whose classes ASCII does not have."""
    write_study(StudyFolder(tmp_path / "runs" / "first"), classes=["heil", "rissig-ü😀"])
    return tmp_path


def test_closed_streams_are_no_error(runs: Path) -> None:
    assert shell("study list >&- && study list >&- 2>&- <&-", runs).stderr == ""
    closed = shell("study show first 2>&-", runs)
    assert closed.returncode == ExitCode.OK
    assert "rissig-ü" in closed.stdout
    full = shell("study list >/dev/full", runs)
    assert full.returncode == ExitCode.RESOURCES
    assert full.stderr.startswith("Error: No disk space left")
    assert "Traceback" not in full.stderr


def test_a_character_that_cannot_be_printed_is_escaped(runs: Path) -> None:
    shown = shell("study show first", runs, LC_ALL="C", PYTHONIOENCODING="ascii")
    assert shown.returncode == ExitCode.OK
    assert "Classes: heil, rissig-\\u00fc\\ud83d\\ude00 (positive)\n" in shown.stdout


def test_an_escaped_text_is_valid_json() -> None:
    prepare_streams()
    text = "ü😀 \udcff"
    escaped = codecs.encode(json.dumps(text, ensure_ascii=False), "ascii", "study-escape")
    assert json.loads(escaped) == text
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="study-escape")
    stream.write(text)
    stream.flush()
    assert stream.buffer.getvalue().decode() == "ü😀 \\udcff"


def test_a_deleted_working_folder_is_named(runs: Path) -> None:
    ended = shell("mkdir gone && cd gone && rmdir ../gone && study list", runs)
    assert ended.returncode == ExitCode.RESOURCES
    assert ended.stderr.startswith("Error: The working folder no longer exists.")


def test_help_does_not_need_docstrings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    script = "study --help && study best --help && study data check --help"
    ended = shell(script, tmp_path, PYTHONOPTIMIZE="2", PYTHONDONTWRITEBYTECODE="1")
    for command in ([], ["best"], ["data", "check"]):
        assert run([*command, "--help"]) == ExitCode.OK
    assert ended.stdout == capsys.readouterr().out
    assert "Example: study best first" in ended.stdout
    # The choices of an option are one word, which is not wrapped.
    words = "-f, --format <table|csv|json|markdown|latex>"
    assert max(map(len, ended.stdout.splitlines())) <= 2 + len(words)
    assert max(map(len, ended.stdout.partition("Usage: study best")[0].splitlines())) <= 40


def test_a_narrow_terminal_gets_records_instead_of_broken_numbers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame({"study": ["first", "second"], "val_loss": [0.12345, 0.5], "rung": [9, 3]})
    frame["trial"] = ["0001", "0002"]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for columns, is_table in ((40, True), (20, False)):
        monkeypatch.setenv("COLUMNS", str(columns))
        print_frame(frame, Format.TABLE, "Studies")
        lines = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out).splitlines()
        assert max(map(len, lines)) <= columns
        assert any("first" in line and "0.1235" in line for line in lines) == is_table
    assert lines[:2] == ["Studies", ""]
    assert lines[2:5] == ["study     first", "val loss  0.1235", "rung      9"]


@pytest.fixture
def keras_settings() -> Iterator[None]:
    yield
    set_formats()


def test_keras_settings_of_the_user_are_overridden(
    keras_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = {"backend": "jax", "image_data_format": "channels_first", "floatx": "float16"}
    (tmp_path / "keras.json").write_text(json.dumps(stored))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert set_backend() == ["backend jax"]
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    assert set_backend() == []
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert set_backend() == ["backend torch"]
    assert set_formats() == []
    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float16")
    keras.config.set_epsilon(1e-3)
    changed = ["image_data_format channels_first", "floatx float16", "epsilon 0.001"]
    assert set_formats() == changed
    assert set_formats() == []
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    with pytest.raises(ResourceError, match="imported with the backend torch"):
        set_formats()


def test_a_command_says_once_which_keras_settings_it_overrides(tmp_path: Path) -> None:
    settings = {"image_data_format": "channels_first", "floatx": "float16"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    variables = {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "torch"}
    ended = shell("study doctor", tmp_path, TF_CPP_MIN_LOG_LEVEL="3", **variables)
    assert ended.returncode == ExitCode.OK
    assert ended.stderr == (
        "Keras settings overridden: backend torch, image_data_format channels_first, "
        "floatx float16; used: tensorflow, channels_last, float32, 1e-07.\n"
    )
    assert "weights        bundled" in ended.stdout


@pytest.mark.parametrize("name", ["file", "/proc/nowhere"])
def test_a_cache_folder_that_cannot_be_created_is_named(
    name: str,
    slabs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    folder = tmp_path / name
    monkeypatch.setenv("STUDY_CACHE_DIR", str(folder))
    typed = ["search", "--data", str(slabs), "--image-size", "32", "--max-epochs", "1"]
    assert run(typed) == ExitCode.RESOURCES
    error = capsys.readouterr().err
    assert f"Error: Cannot create a folder at {folder}" in error or f" {folder}.\n" in error
    assert "set the environment variable STUDY_CACHE_DIR" in error
    assert not Path("runs").exists()
