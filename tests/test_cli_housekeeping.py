"""`study rename`, `study rm` and `study doctor`."""

import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from small_study import Search

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.cache import cache_sizes, clear
from concrete_study.results.folder import StudyFolder


@pytest.fixture
def runs(whole: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        shutil.copytree(whole.study.path, tmp_path / "runs" / name)
    return tmp_path / "runs"


def names(runs: Path) -> list[str]:
    return sorted(path.name for path in runs.iterdir())


def test_a_renamed_study_is_the_same_study(
    runs: Path, whole: Search, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["rename", "first", "better"]) == ExitCode.OK
    assert names(runs) == ["better", "second"]
    study = StudyFolder(runs / "better")
    assert study.manifest().name == "better"
    assert study.trials() == whole.study.trials()
    assert run(["show", "better"]) == ExitCode.OK
    assert "better (finished)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        (["first", "second"], ExitCode.STUDY),
        (["first", "../away"], ExitCode.USAGE),
        (["unknown", "new"], ExitCode.STUDY),
    ],
)
def test_an_existing_invalid_or_unknown_name_changes_nothing(
    typed: list[str], code: ExitCode, runs: Path
) -> None:
    assert run(["rename", *typed]) == code
    assert names(runs) == ["first", "second"]


def test_removal_needs_a_terminal_or_yes(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rm", "first"]) == ExitCode.USAGE
    assert "study rm first --yes" in capsys.readouterr().err
    assert run(["rm", "first", "unknown", "--yes"]) == ExitCode.STUDY
    assert names(runs) == ["first", "second"]
    assert run(["rm", "first", "first", "--yes"]) == ExitCode.OK
    assert names(runs) == ["second"]


def test_a_damaged_study_can_be_removed_and_is_never_the_latest(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs / "second" / "study.json").write_text("{")
    assert run(["show"]) == ExitCode.OK
    assert "Study:   first" in capsys.readouterr().out
    assert run(["compare"]) == ExitCode.OK
    assert run(["rm", "second", "--yes"]) == ExitCode.OK
    assert names(runs) == ["first"]


def test_a_study_in_use_is_neither_removed_nor_renamed(runs: Path) -> None:
    with StudyFolder(runs / "first").lock():
        assert run(["rm", "first", "--yes"]) == ExitCode.STUDY
        assert run(["rename", "first", "new"]) == ExitCode.STUDY
    assert names(runs) == ["first", "second"]
    assert StudyFolder(runs / "first").manifest().name != "new"


def test_doctor_prints_versions_and_hardware_and_clears_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    assert cache_sizes() == {}
    assert clear() == 0
    (tmp_path / "cache" / "features" / "key").mkdir(parents=True)
    (tmp_path / "cache" / "features" / "key" / "view.npy").write_bytes(bytes(20_000_000))
    assert run(["doctor"]) == ExitCode.OK
    out, _ = capsys.readouterr()
    for word in (
        "tensorflow",
        "precision",
        "devices",
        "SHA-256 5b9c1bcc",
        "0.02 GB  features",
    ):
        assert word in out
    with FileLock(tmp_path / "cache" / "features" / "key" / ".lock"):
        assert run(["doctor", "--clear-cache"]) == ExitCode.RESOURCES
        assert "the cache is in use" in capsys.readouterr().err
    assert (tmp_path / "cache" / "features" / "key" / "view.npy").exists()
    assert run(["doctor", "--clear-cache"]) == ExitCode.OK
    assert "0.02 GB removed" in capsys.readouterr().out
    assert list((tmp_path / "cache").iterdir()) == []
