import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from small_records import retraining_record, write_study

from concrete_study.cli.compare import compare_command
from concrete_study.cli.list import list_command
from concrete_study.cli.show import show_command
from concrete_study.cli.tables import Format
from concrete_study.datasets.errors import StudyStateError
from concrete_study.results.folder import StudyFolder
from concrete_study.results.hyperparameters import Value
from concrete_study.results.records import SearchOptions, TrialRecord
from concrete_study.results.report.writing import write_report

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_study(name: str, *records: TrialRecord, **changes: Any) -> StudyFolder:
    study = write_study(StudyFolder(Path("runs") / name), **changes)
    for record in records:
        study.write_trial(record)
    return study


def trial(name: str, epochs: int, score: float, parent: str | None = None) -> TrialRecord:
    return TrialRecord(
        trial=name,
        status="completed",
        hyperparameters={"head_units": 256, "head_learning_rate": 1e-3},
        epochs=epochs,
        seconds=1.0,
        score=score,
        metrics={"val_shifted_loss": score, "val_loss": score, "val_accuracy": 0.9},
        parent=parent,
    )


FAILED = TrialRecord(
    trial="0009",
    status="failed",
    hyperparameters={},
    epochs=2,
    seconds=1.0,
    message="[red] ran away",
)


def test_show_and_compare_print_whether_near_duplicates_were_kept_together(
    capsys: Captured,
) -> None:
    make_study("first", trial("0", 10, 0.1), groups=41)
    make_study("second", trial("0", 10, 0.1), groups=None)
    show_command("first")
    show_command("second")
    out = capsys.readouterr().out
    assert "grouped by near-duplicates; 41 groups" in out
    assert "random (--no-groups); near-duplicates may be in both" in out
    compare_command(["first", "second"], Format.CSV)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["split"] for row in rows] == ["grouped", "random"]


def test_show_and_compare_print_scores_with_their_standard_errors(capsys: Captured) -> None:
    record = trial("0", 10, 0.1234)
    make_study("first", replace(record, standard_error=0.0321), trial("1", 2, 0.5))
    make_study("second", record)
    show_command("first")
    out = capsys.readouterr().out
    assert "0.1234 ± 0.0321" in out
    assert out.count("±") == 1
    show_command("second")
    assert "±" not in capsys.readouterr().out
    compare_command(["first", "second"])
    out = capsys.readouterr().out
    assert re.search(r"score +0\.1234 ± 0\.0321 +0\.1234$", out, flags=re.MULTILINE)
    compare_command(["first", "second"], Format.CSV)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["standard_error"] for row in rows] == ["0.0321", ""]


def test_show_compare_and_report_choose_by_the_rule_of_the_search(capsys: Captured) -> None:
    values: list[dict[str, Value]] = [{"unfreeze_depth": 3}, {"unfreeze_depth": 0}]
    records = [
        replace(trial(str(n), 10, 0.1 + n / 100), hyperparameters=given, standard_error=0.02)
        for n, given in enumerate(values)
    ]
    for name, rule in (("first", "min"), ("second", "1se")):
        study = make_study(name, *records, options=SearchOptions(data=("d",), select=rule))
        page = write_report(study).read_text(encoding="utf-8")
        assert ("It is the simplest within one standard error of trial 0" in page) == (
            rule == "1se"
        )
        study.write_metrics(retraining_record(name, trial="0"))
        show_command(name)
    first, second = capsys.readouterr().out.split("Study:   second")
    assert "Best:" not in first
    assert "Note:" not in first
    assert "Best:    trial 1, the simplest within one standard error of trial 0\n" in second
    assert "trial 1 is the best now; study best second --retrain" in second
    compare_command(["first", "second"], Format.CSV)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["test_of_best_trial"] for row in rows] == ["True", "False"]


def test_list_without_studies_suggests_a_search(capsys: Captured) -> None:
    list_command()
    out, err = capsys.readouterr()
    assert out == ""
    assert "Try: study search" in err


def test_list_shows_a_damaged_study_and_names_its_file(capsys: Captured) -> None:
    make_study("good", trial("0000", 2, 0.5))
    make_study("bad").manifest_path.write_text("{")
    list_command()
    out, err = capsys.readouterr()
    assert "damaged" in out
    assert "good" in out
    assert "runs/bad/study.json is damaged" in err


def test_output_without_a_terminal_is_neither_coloured_nor_shortened(capsys: Captured) -> None:
    make_study("a" * 100, trial("0000", 2, 0.5))
    list_command()
    out = capsys.readouterr().out
    assert "a" * 100 in out
    assert "\x1b" not in out


def test_show_separates_rungs_and_prints_the_folder_and_the_next_command(capsys: Captured) -> None:
    make_study("first", trial("0000", 2, 0.5), trial("0001", 2, 0.1), trial("0002", 4, 0.3, "0000"))
    show_command("first")
    out = capsys.readouterr().out
    assert out.startswith("Study:   first (finished)")
    assert out.index("0000 → 0002") < out.index("0001")
    assert "\n\n   2  0001" in out
    assert "Folder:  runs/first" in out
    assert "Next:    study best first" in out


def test_show_without_a_name_takes_the_latest(capsys: Captured) -> None:
    make_study("old", trial("0000", 2, 0.5))
    make_study("new", trial("0000", 2, 0.5), created="2026-11-24T10:00:00+00:00")
    show_command()
    assert "Study:   new" in capsys.readouterr().out


def test_show_of_an_empty_and_of_a_failed_study(capsys: Captured) -> None:
    make_study("empty")
    show_command("empty")
    assert "No completed trials." in capsys.readouterr().out
    make_study("lost", FAILED)
    show_command("lost")
    out, err = capsys.readouterr()
    assert "1 of 30, 1 failed" in out
    assert "trial 0009 failed: [red] ran away" in err


@pytest.mark.parametrize("state", ["failed", "interrupted", "running"])
@pytest.mark.parametrize("records", [[trial("0000", 2, 0.5)], [FAILED], []])
def test_show_of_an_unfinished_study_suggests_to_resume_it_unless_its_trials_diverge(
    capsys: Captured, state: str, records: list[TrialRecord]
) -> None:
    make_study("first", *records, state=state)
    show_command("first")
    diverged = state == "failed" and records == [FAILED]
    command = "--overwrite, with lower" if diverged else "--resume\n"
    assert f"Next:    study search --name first {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("data", "printed"),
    [((), "built-in sample"), (("/photographs",), "/photographs")],
)
def test_show_names_the_data(capsys: Captured, data: tuple[str, ...], printed: str) -> None:
    make_study("first", options=SearchOptions(data=data), images={"train": 7})
    show_command("first")
    assert f"Data:    {printed} (7 train)\n" in capsys.readouterr().out


def test_show_of_an_unknown_study_is_an_error() -> None:
    make_study("first")
    with pytest.raises(StudyStateError, match="Did you mean first"):
        show_command("frist")


def test_other_formats_print_only_data_on_stdout(capsys: Captured) -> None:
    make_study("first", trial("0000", 2, 0.5), FAILED)
    show_command("first", Format.CSV)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["path"] for row in rows] == ["0000"]
    compare_command(["first"], Format.JSON)
    assert json.loads(capsys.readouterr().out)[0]["study"] == "first"
    list_command(Format.MARKDOWN)
    assert capsys.readouterr().out.startswith("| study |")


def test_compare_prints_studies_as_columns_and_warns_of_different_test_images(
    capsys: Captured,
) -> None:
    for name in ("first", "second"):
        study = make_study(name, trial("0000", 2, 0.5))
        study.split_path.write_text(f"file,class,subset,group,sha256\nx,a,test,1,{name}\n")
    compare_command(["second", "first", "second"])
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split() == ["study", "second", "first"]
    assert "test scores of second and first are not comparable" in err


def test_compare_warns_of_different_rungs_and_objectives(capsys: Captured) -> None:
    make_study("first", trial("0000", 2, 0.5))
    options = SearchOptions(objective="val_accuracy")
    make_study("second", trial("0000", 4, 0.5), options=options)
    make_study("third")
    compare_command(["first", "second", "third"])
    err = capsys.readouterr().err
    assert "(first: val_shifted_loss, second: val_accuracy, third: val_shifted_loss)" in err
    assert "different rungs" in err


def test_compare_without_names_takes_all_studies(capsys: Captured) -> None:
    make_study("first")
    make_study("second")
    compare_command([], Format.CSV)
    assert len(capsys.readouterr().out.splitlines()) == 3
