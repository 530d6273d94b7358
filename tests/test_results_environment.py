import shutil
import subprocess
from pathlib import Path

import pytest

from concrete_study.results.environment import cpu_model, git_commit, versions


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    command = ["git", *who, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_is_dirty_if_a_file_of_the_program_is_changed_or_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert git_commit(tmp_path) is None  # an installed wheel
    git(tmp_path, "init", "--quiet")
    assert git_commit(tmp_path) is None  # no commit yet
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "a.py").write_text("1")
    git(tmp_path, "add", "study")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    head = git(tmp_path, "rev-parse", "HEAD").strip()
    git(tmp_path, "tag", "--annotate", "v1", "--message", "a tag is no commit")
    assert git_commit(tmp_path) == head
    (tmp_path / "data-check").mkdir()
    (tmp_path / "data-check" / "index.html").touch()  # a user's, not the program's
    assert git_commit(tmp_path) == head
    (tmp_path / "study" / "new.py").touch()
    assert git_commit(tmp_path) == f"{head}-dirty"
    (tmp_path / "study" / "new.py").unlink()
    (tmp_path / "study" / "a.py").write_text("2")
    assert git_commit(tmp_path) == f"{head}-dirty"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(tmp_path) is None  # no git


def test_the_versions_are_those_of_what_decides_the_numbers() -> None:
    found = versions()
    assert {"scikit-learn", "scipy", "pandas", "keras-tuner", "cpu"} <= found.keys()
    assert all(found.values())
    assert "not installed" not in {found["scikit-learn"], found["scipy"], found["pandas"]}


def test_the_cpu_is_its_model_or_its_architecture(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    assert cpu_model(cpuinfo)
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Quick 9: the CPU\nmodel\t: 1\n" * 2)
    assert cpu_model(cpuinfo) == "Quick 9: the CPU"
    cpuinfo.write_text("processor\t: 0\nmodel name\t:\n")  # as some ARM boards have it
    assert cpu_model(cpuinfo)
