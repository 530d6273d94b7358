"""Studies ranked against each other: differing options, ranks, the cost to reach a score."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from small_report import make_study, trial, two_studies

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.results.folder import StudyFolder
from concrete_study.results.ranking import changed_options, cost_to_reach, progress, ranks


@pytest.fixture
def studies(tmp_path: Path) -> list[StudyFolder]:
    return two_studies(tmp_path / "runs")


def test_the_options_that_differ_are_those_and_no_others(studies: list[StudyFolder]) -> None:
    changed = changed_options(studies).set_index("study")
    assert changed.loc["first"].to_dict() == {"algorithm": '"hyperband"', "trials": "null"}
    assert changed.loc["second"].to_dict() == {"algorithm": '"random"', "trials": "1"}
    assert changed_options(studies[:1] * 2).empty


def test_the_cost_is_the_time_until_the_worst_best_was_reached(tmp_path: Path) -> None:
    slow = make_study(tmp_path / "slow", [trial(n, 10, s) for n, s in enumerate((0.9, 0.5, 0.1))])
    fast = make_study(tmp_path / "fast", [trial(0, 2, 0.01), trial(1, 10, None), trial(2, 10, 0.4)])
    reached = progress([slow, fast])
    assert reached["best"].tolist() == [0.9, 0.5, 0.1, 0.4]
    assert reached["seconds"].tolist() == [20, 40, 60, 4 + 20 + 20]
    cost = cost_to_reach([slow, fast]).set_index("study")
    assert cost["target"].tolist() == [0.4, 0.4]
    assert cost["seconds"].to_dict() == {"slow": 60, "fast": 44}
    assert cost["trials"].to_dict() == {"slow": 3, "fast": 3}


def test_ties_share_a_rank_and_studies_without_a_test_have_none(
    studies: list[StudyFolder], tmp_path: Path
) -> None:
    untested = make_study(tmp_path / "runs" / "third", [trial(0, 10, 0.9)])
    shutil.copy(studies[0].split_path, untested.split_path)
    table = ranks([*studies, untested]).set_index("study")
    assert table["by_test_accuracy"].tolist() == [1, 1, pd.NA]
    assert table["by_score"].tolist() == [1, 2, 3]
    assert table["by_seconds"].tolist() == [2, 1, 2]


def test_scores_that_do_not_compare_have_neither_ranks_nor_a_cost(
    studies: list[StudyFolder], tmp_path: Path
) -> None:
    lower_rung = make_study(tmp_path / "runs" / "third", [trial(0, 4, 0.9)])
    shutil.copy(studies[0].split_path, lower_rung.split_path)
    assert cost_to_reach([*studies, lower_rung]).empty
    assert list(ranks([*studies, lower_rung])) == [
        "study",
        *("by_test_accuracy", "by_test_loss", "by_seconds"),
    ]
    rows = studies[1].split_path.read_text(encoding="utf-8").splitlines(keepends=True)
    tested = [row for row in rows if ",test," in row]
    studies[1].split_path.write_text("".join(row for row in rows if row != tested[0]))
    assert list(ranks(studies)) == ["study", "by_score", "by_seconds"]
    assert not cost_to_reach(studies).empty


def test_compare_prints_every_table_to_people_and_one_to_programs(
    studies: list[StudyFolder],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["compare", "first", "second"]) == ExitCode.OK
    out = capsys.readouterr().out
    titles = [
        "Comparison",
        "Paired tests",
        "Ranks",
        "Trials and time to reach",
        "Differing options",
    ]
    positions = [out.index(title) for title in titles]
    assert positions == sorted(positions)
    for table, column in (("paired", "p_value"), ("ranks", "by_score"), ("cost", "target")):
        assert run(["compare", "first", "second", "--table", table, "-f", "csv"]) == ExitCode.OK
        assert column in capsys.readouterr().out.splitlines()[0].split(",")
    assert run(["compare", "first", "--table", "paired"]) == ExitCode.OK
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "Paired tests"
    assert "difference" in out, "an empty table prints its header"
    assert "Paired tests: empty; it needs studies with comparable scores." in err
    assert run(["compare", "first", "second", "-f", "csv"]) == ExitCode.OK
    assert len(capsys.readouterr().out.splitlines()) == 3
