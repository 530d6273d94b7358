"""The page of `study compare --report`."""

from pathlib import Path

import pandas as pd
import pytest
from small_report import make_study, two_studies, whole_study

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.errors import UsageError
from concrete_study.results.folder import StudyFolder
from concrete_study.results.report.comparison import comparison_sections
from concrete_study.results.report.writing import write_comparison


@pytest.fixture
def studies(tmp_path: Path) -> list[StudyFolder]:
    return two_studies(tmp_path / "runs")


def test_the_page_has_all_sections_and_what_belongs_to_them(
    studies: list[StudyFolder], tmp_path: Path
) -> None:
    page = write_comparison(studies, tmp_path / "page")
    anchors = [section.anchor for section in comparison_sections(studies)]
    assert anchors == ["summary", "paired", "ranks", "curves", "cost", "options"]
    text = page.read_text(encoding="utf-8")
    assert all(f'<section id="{anchor}">' in text for anchor in anchors)
    assert "<h1>Comparison of first and second</h1>" in text
    for name in ("validation-loss", "validation-accuracy", "progress"):
        for kind in ("svg", "png", "csv"):
            assert (page.parent / "figures" / f"{name}.{kind}").stat().st_size > 100
    curves = pd.read_csv(page.parent / "figures" / "validation-loss.csv")
    assert curves.groupby("study").size().to_dict() == {"first": 10, "second": 10}
    assert pd.read_csv(page.parent / "tables" / "paired.csv")["p_value"].tolist() == [1.0]


def test_studies_of_other_images_are_shown_with_the_reason_and_no_p_value(tmp_path: Path) -> None:
    studies = [whole_study(tmp_path / name) for name in ("first", "other")]
    (tmp_path / "other" / "split.csv").write_text("file,class,subset,group,sha256\n")
    sections = {section.anchor: section for section in comparison_sections(studies)}
    assert "paired" not in sections
    words = " ".join(str(element) for element in sections["summary"].elements)
    assert "Not all of these results are comparable. The test scores of first and other" in words


def test_studies_without_trials_or_tests_have_a_page_too(tmp_path: Path) -> None:
    studies = [make_study(tmp_path / name) for name in ("one", "two")]
    page = write_comparison(studies, tmp_path / "page").read_text(encoding="utf-8")
    assert "None of the studies has a test result yet" in page
    assert "<svg" not in page


def test_a_folder_with_other_files_is_not_replaced(
    studies: list[StudyFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (Path("runs"), Path(), Path("runs/first/study.json")):
        with pytest.raises(UsageError, match="cannot be replaced"):
            write_comparison(studies, folder)
    assert studies[0].manifest_path.exists()
    for _ in range(2):
        write_comparison(studies, Path("page"))


def test_compare_writes_the_page_where_it_is_asked_to(
    studies: list[StudyFolder],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["compare", "first", "second", "--report", "page"]) == ExitCode.OK
    assert "Report: page/report.html" in capsys.readouterr().err
    assert Path("page/report.md").read_text().startswith("# Comparison of first and second\n")
