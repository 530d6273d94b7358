import webbrowser
from pathlib import Path

import pytest
from small_report import make_study, trial

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_study(tmp_path / "runs" / "first", [trial(0, 2, 0.5)])
    return tmp_path


def test_report_names_the_page_it_wrote(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "first"]) == ExitCode.OK
    assert capsys.readouterr().out == "Report: runs/first/report/report.html\n"
    assert (folder / "runs" / "first" / "report" / "report.md").exists()


def test_report_opens_the_page_if_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    assert run(["report", "--open"]) == ExitCode.OK  # the latest study
    assert opened == [(folder / "runs" / "first" / "report" / "report.html").as_uri()]


def test_report_of_an_unknown_study_says_which_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["report", "frist"]) == ExitCode.STUDY
    assert "Did you mean first" in capsys.readouterr().err
