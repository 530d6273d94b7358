"""Damaged files, diverged searches and read-only folders: each is named, with what to do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_records import write_study
from small_study import SMALL, SPACE_TOML, Search, copied, read_only

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.errors import SearchError
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import TrialRecord

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 58\n"
HEADER = b"file,class,subset,group,sha256\n"
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def study(retrained: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    """A copy of the retrained study as `runs/small`."""
    return copied(retrained, tmp_path, monkeypatch)


def test_a_damaged_model_is_named_with_what_to_do(
    study: StudyFolder, slabs: Path, capsys: Captured
) -> None:
    image = str(next((slabs / "Positive").iterdir()))
    path = study.best_path / "model.keras"
    content = path.read_bytes()
    predict, export = ["predict", image], ["best", "small", "--export"]
    for damage, command, received in (
        (LFS, predict, "a Git LFS pointer"),
        (content[: len(content) // 2], ["explain", image], "no complete .keras file"),
        (b"", predict, "0 bytes"),
        (content[:-1], export, "bytes"),
        (content[:100], ["evaluate", "--data", str(slabs)], "100 bytes"),
        (None, export, "no file"),
    ):
        path.unlink()
        if damage is not None:
            path.write_bytes(damage)
        assert run(command) == ExitCode.STUDY
        error = capsys.readouterr().err.partition("Error: ")[2]
        assert error.startswith(f"{path} is {'missing' if damage is None else 'damaged'}.")
        assert received in error
        assert "Try: restore the file from a backup, or study best small --retrain" in error
        if damage is None:
            break
        path.touch()


@pytest.mark.parametrize("content", [b"", HEADER, LFS])
def test_a_damaged_split_is_named(
    content: bytes, study: StudyFolder, slabs: Path, capsys: Captured
) -> None:
    study.split_path.write_bytes(content)
    for command in (
        ["best"],
        ["best", "--retrain"],
        ["report"],
        ["evaluate", "--data", str(slabs)],
        ["compare", "small", "small"],
    ):
        assert run(command) == ExitCode.STUDY
        printed = capsys.readouterr()
        assert f"Error: {study.split_path} is damaged." in printed.err
        assert f"found {len(content)} bytes" in printed.err
        assert "Try: restore the file from a backup" in printed.err
        assert printed.out == ""


def write_diverged(folder: Path) -> None:
    study = write_study(StudyFolder(folder), state="failed", finished=None)
    for number in range(3):
        study.write_trial(
            TrialRecord(
                trial=f"{number:04}",
                status="failed",
                hyperparameters={},
                epochs=2,
                seconds=1.0,
                message="training diverged in epoch 2",
            )
        )


def test_a_diverged_search_is_failed_everywhere_and_resuming_is_not_suggested(
    slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def diverge(*given: object, **options: object) -> None:
        write_diverged(Path("runs/first"))
        raise SearchError("Three trials in a row failed.", hint="lower learning rates.")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("concrete_study.search.runner.run_search", diverge)
    assert run(["search", "--data", str(slabs), "--name", "first"]) == ExitCode.SEARCH
    printed = [capsys.readouterr().err]
    for command, code in (
        (["list"], ExitCode.OK),
        (["show", "first"], ExitCode.OK),
        (["report", "first"], ExitCode.OK),
        (["best", "first"], ExitCode.SEARCH),
    ):
        assert run(command) == code
        printed.append("".join(capsys.readouterr()))
    printed[3] = Path("runs/first/report/report.md").read_text(encoding="utf-8")
    assert not [text for text in printed if "--resume" in text]
    assert not [text for text in printed if "failed" not in text]
    assert "lower learning rates" in printed[2]
    assert "with lower learning rates" in printed[3]
    assert "with lower learning rates" in printed[4]


@pytest.fixture
def locked(study: StudyFolder) -> Iterator[StudyFolder]:
    """The study in a folder that cannot be written, by root either."""
    with read_only(study.path.parent.resolve()):
        yield study


def test_a_read_only_folder_can_be_read_and_is_named_otherwise(
    locked: StudyFolder, whole: Search, slabs: Path, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "space.toml").write_text(SPACE_TOML)
    for command in (["list"], ["show"], ["best"], ["compare"]):
        assert run(command) == ExitCode.OK
    capsys.readouterr()
    search = ["search", "--data", str(slabs), *SMALL, "--max-epochs", "1"]
    for command in (
        ["best", "--retrain"],
        ["best", "--export"],
        ["evaluate", "--data", str(slabs)],
        ["report"],
        ["baseline"],
        ["rm", "small", "--yes"],
        ["search", "--name", "small", "--resume"],
        [*search, "--name", "new"],
    ):
        assert run(command) == ExitCode.RESOURCES, command
        problem, expected, hint = capsys.readouterr().err.splitlines()[-3:]
        assert problem.startswith("Error: Cannot access ")
        assert "/runs/" in problem or " runs/" in problem
        assert expected == "Expected read and write permission; found none."
        assert hint == "Try: change the permissions, or run study in another folder."
