"""Paired tests: by number, on common test images only."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_records import write_study

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.files import write_text
from concrete_study.datasets.splits import SplitRow, write_split
from concrete_study.results.evaluation import prediction_rows
from concrete_study.results.folder import StudyFolder
from concrete_study.results.paired import paired_table
from concrete_study.results.records import SearchOptions

CLASSES = ["A", "B"]


def study_of(
    name: str, correct: list[bool], *, first: int = 0, prefix: str = "", near_duplicates: int = 1
) -> StudyFolder:
    """A study that classifies image n correctly if `correct[n]`; classes alternate.

    A group has `near_duplicates` images.
    """
    study = StudyFolder(Path("runs") / name)
    files = [f"{prefix}{CLASSES[n % 2]}/{n}.jpg" for n in range(len(correct))]
    truth = [CLASSES[n % 2] for n in range(len(correct))]
    rows = [
        SplitRow(file, label, "test", f"{first + n // near_duplicates}", f"{first + n:064}")
        for n, (file, label) in enumerate(zip(files, truth, strict=True))
    ]
    write_split(study.split_path, rows)
    p = np.array([[0.9, 0.1] if (n % 2 == 0) == r else [0.1, 0.9] for n, r in enumerate(correct)])
    table = prediction_rows(files, truth, CLASSES, {"before_training": 1 - p, "best": p})
    write_text(study.predictions_path, table.to_csv(index=False))
    return write_study(study, options=SearchOptions())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_exact_test_is_of_the_images_that_one_model_alone_classifies_correctly() -> None:
    a = study_of("a", [True] * 40 + [False] * 2 + [True] * 8)
    b = study_of("b", [True] * 40 + [True] * 2 + [False] * 8, prefix="external/")
    (row,) = paired_table([a, b]).to_dict("records")
    assert (row["first"], row["second"], row["images"]) == ("a", "b", 50)
    assert (row["only_first_correct"], row["only_second_correct"]) == (8, 2)
    assert row["difference"] == pytest.approx(6 / 50)
    # Twice the probability of at most 2 heads in 10 tosses: 2 (1 + 10 + 45) / 1024.
    assert row["p_value"] == pytest.approx(112 / 1024)
    assert row["difference_low"] < 6 / 50 < row["difference_high"]
    assert row["difference_high"] - row["difference_low"] == pytest.approx(4 * 0.061, rel=0.15)
    assert paired_table([a, b]).equals(paired_table([a, b]))


def test_the_test_is_clustered_by_group() -> None:
    # Five groups of two near-duplicates; the second model misclassifies two groups.
    a = study_of("a", [True] * 10, near_duplicates=2)
    b = study_of("b", [True] * 6 + [False] * 4, near_duplicates=2)
    (row,) = paired_table([a, b]).to_dict("records")
    assert (row["images"], row["groups"], row["only_first_correct"]) == (10, 5, 4)
    assert row["p_value"] == pytest.approx(2 / 2**2)  # two groups, not four images
    alone = paired_table([study_of("a", [True] * 10), study_of("b", [True] * 6 + [False] * 4)])
    assert row["difference"] == alone["difference"].item() == pytest.approx(0.4)
    wider = row["difference_high"] - row["difference_low"]
    assert wider > (alone["difference_high"] - alone["difference_low"]).item()


def test_byte_identical_files_that_one_study_alone_has_make_no_pair() -> None:
    a, b = study_of("a", [True] * 6), study_of("b", [True] * 6)
    text = a.split_path.read_text(encoding="utf-8")
    a.split_path.write_text(text.replace(f"{5:064}", f"{4:064}"), encoding="utf-8")
    rows = b.split_path.read_text(encoding="utf-8").replace(f"{5:064}", f"{4:064}")
    b.split_path.write_text("".join(rows.splitlines(keepends=True)[:-1]), encoding="utf-8")
    table = pd.read_csv(b.predictions_path, dtype=str)
    write_text(b.predictions_path, table[table["file"] != "B/5.jpg"].to_csv(index=False))
    assert paired_table([a, b]).empty


def test_models_that_agree_on_every_image_do_not_differ() -> None:
    rows = paired_table([study_of("a", [True, False] * 5), study_of("b", [True, False] * 5)])
    (row,) = rows.to_dict("records")
    assert row["p_value"] == 1
    assert row["difference_low"] == row["difference"] == row["difference_high"] == 0


def test_other_test_images_and_studies_without_a_test_get_no_p_value() -> None:
    a, other = study_of("a", [True] * 6), study_of("other", [True] * 6, first=3)
    untested = StudyFolder(Path("runs/untested"))
    assert paired_table([a, other, untested]).empty
    assert paired_table([a]).empty
    assert paired_table([]).empty
    without_split = study_of("without", [True] * 6)
    without_split.split_path.unlink()
    assert paired_table([a, without_split]).empty


def test_compare_prints_pairs_below_its_table_or_alone(capsys: pytest.CaptureFixture[str]) -> None:
    study_of("a", [True] * 6)
    study_of("b", [True] * 5 + [False])
    assert run(["compare", "a", "b", "--only-changed"]) == ExitCode.OK
    out, _ = capsys.readouterr()
    assert "Paired tests" in out
    assert "val_loss" not in out
    assert run(["compare", "a", "b", "--table", "paired", "--format", "json"]) == ExitCode.OK
    (row,) = json.loads(capsys.readouterr().out)
    assert row["p_value"] == 1
    assert run(["compare", "a", "b", "--only-changed", "-f", "json"]) == ExitCode.OK
    rows = json.loads(capsys.readouterr().out)
    assert [row["study"] for row in rows] == ["a", "b"]
    assert pd.DataFrame(rows).nunique(dropna=False).min() > 1
