"""The page of `study compare --report`."""

from pathlib import Path

import pandas as pd
import pytest
from small_report import make_study, trial, whole_study

from datasets.errors import ExitCode
from results.folder import StudyFolder
from results.report.comparing import changed_options, comparison_sections, cost_to_reach, ranks
from results.report.comparing import progress as progress_of
from results.report.writing import write_comparison
from results.tables import comparison
from study.app import run


@pytest.fixture
def studies(tmp_path: Path) -> list[StudyFolder]:
    """Two studies of the same photographs; the second has one trial and other options."""
    first = whole_study(tmp_path / "runs" / "first")
    second = whole_study(tmp_path / "runs" / "second", records=[trial(0, 10, 0.5)])
    manifest = second.manifest()
    options = manifest["options"] | {"algorithm": "random", "trials": 1}
    second.write_manifest(manifest | {"options": options, "seconds": 5.0})
    return [first, second]


def test_the_page_has_all_sections_and_what_belongs_to_them(
    studies: list[StudyFolder], tmp_path: Path
) -> None:
    page = write_comparison(studies, tmp_path / "page")
    anchors = [section.anchor for section in comparison_sections(studies)]
    assert anchors == ["answer", "paired", "ranks", "curves", "cost", "options"]
    text = page.read_text(encoding="utf-8")
    assert all(f'<section id="{anchor}">' in text for anchor in anchors)
    assert "<h1>first and second</h1>" in text
    for name in ("overlaid-val-loss", "overlaid-val-accuracy", "progress"):
        for kind in ("svg", "png", "csv"):
            assert (page.parent / "figures" / f"{name}.{kind}").stat().st_size > 100
    curves = pd.read_csv(page.parent / "figures" / "overlaid-val-loss.csv")
    assert curves.groupby("study").size().to_dict() == {"first": 10, "second": 10}
    assert pd.read_csv(page.parent / "tables" / "paired.csv")["p_value"].tolist() == [1.0]


def test_the_options_that_differ_are_those_and_no_others(studies: list[StudyFolder]) -> None:
    changed = changed_options(studies).set_index("option")
    assert changed["first"].to_dict() == {"algorithm": '"hyperband"', "trials": ""}
    assert changed["second"].to_dict() == {"algorithm": '"random"', "trials": "1"}
    assert changed_options(studies[:1] * 2).empty


def test_the_cost_is_the_time_until_the_worst_best_was_reached(tmp_path: Path) -> None:
    slow = make_study(tmp_path / "slow", [trial(n, 10, s) for n, s in enumerate((0.9, 0.5, 0.1))])
    fast = make_study(tmp_path / "fast", [trial(0, 2, 0.01), trial(1, 10, None), trial(2, 10, 0.4)])
    reached = progress_of([slow, fast])
    assert reached["best"].tolist() == [0.9, 0.5, 0.1, 0.4]
    assert reached["seconds"].tolist() == [20, 40, 60, 4 + 20 + 20]
    cost = cost_to_reach(reached, lowest_is_best=True).set_index("study")
    assert cost["target"].tolist() == [0.4, 0.4]
    assert cost["seconds"].to_dict() == {"slow": 60, "fast": 44}
    assert cost["trials"].to_dict() == {"slow": 3, "fast": 3}


def test_places_are_shared_and_those_without_a_test_have_none(
    studies: list[StudyFolder], tmp_path: Path
) -> None:
    untested = make_study(tmp_path / "runs" / "third", [trial(0, 10, 0.9)])
    table = ranks(comparison([*studies, untested])).set_index("study")
    assert table["by_test_accuracy"].tolist() == [1, 1, pd.NA]
    assert table["by_score"].tolist() == [1, 2, 3]
    assert table["by_seconds"].tolist() == [2, 1, 2]


def test_studies_of_other_images_are_shown_with_the_reason_and_no_p_value(tmp_path: Path) -> None:
    studies = [whole_study(tmp_path / name) for name in ("first", "other")]
    (tmp_path / "other" / "split.csv").write_text("file,class,subset,group,sha256\n")
    sections = {section.anchor: section for section in comparison_sections(studies)}
    assert "paired" not in sections
    words = " ".join(str(block) for block in sections["answer"].blocks)
    assert "Not everything here compares. The test scores of first and other" in words


def test_studies_without_trials_or_tests_have_a_page_too(tmp_path: Path) -> None:
    studies = [make_study(tmp_path / name) for name in ("one", "two")]
    page = write_comparison(studies, tmp_path / "page").read_text(encoding="utf-8")
    assert "None of the studies was tested yet" in page
    assert "<svg" not in page


def test_compare_writes_the_page_where_it_is_asked_to(
    studies: list[StudyFolder],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["compare", "first", "second", "--report", "page"]) == ExitCode.OK
    assert "The report: page/report.html" in capsys.readouterr().err
    assert Path("page/report.md").read_text().startswith("# first and second\n")
