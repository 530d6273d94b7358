import io
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from msgspec.structs import replace
from small_records import retraining_record, write_study

from concrete_study.datasets.errors import StudyStateError, UsageError
from concrete_study.datasets.files import write_text
from concrete_study.results.folder import StudyFolder
from concrete_study.results.formats import (
    FORMATS,
    duration,
    markdown_table,
    number,
    readable,
    render,
)
from concrete_study.results.hyperparameters import by_name
from concrete_study.results.records import SearchOptions, TrialRecord
from concrete_study.results.tables import comparison, differences, studies_table


def make_study(runs: Path, name: str, trials: int = 3, **options: Any) -> StudyFolder:
    given = SearchOptions(**{"data": ("d",), **options})
    study = write_study(StudyFolder(runs / name), options=given)
    for i in range(trials):
        study.write_trial(
            TrialRecord(
                trial=f"{i:04d}",
                status="completed",
                hyperparameters={
                    "head_units": 256,
                    "dropout": 0.3,
                    "head_learning_rate": 1e-4 * (i + 1),
                },
                epochs=2 + i,
                seconds=1.0,
                score=0.5,
            )
        )
    write_split(study, test="abc", validation="vw")
    return study


def write_split(study: StudyFolder, **subsets: str) -> None:
    rows = [
        f"{sha}.jpg,crack,{subset},{sha},{sha}" for subset, shas in subsets.items() for sha in shas
    ]
    write_text(study.split_path, "\n".join(["file,class,subset,group,sha256", *rows]) + "\n")


def test_a_study_is_one_row_with_search_hyperparameters_and_test_result(tmp_path: Path) -> None:
    study = make_study(tmp_path, "first")
    study.write_trial(
        TrialRecord(trial="0009", status="failed", hyperparameters={}, epochs=10, seconds=1.0)
    )
    study.write_metrics(retraining_record("first", trial="0002"))
    row = comparison([study]).iloc[0]
    assert (row["trials"], row["planned_trials"], row["failed_trials"]) == (4, 30, 1)
    assert (row["epochs"], row["seconds"]) == (2 + 3 + 4, 125.0)
    assert (row["trial"], row["rung"], row["score"]) == ("0002", 4, 0.5)
    assert (row["head_units"], row["dropout"]) == (256, 0.3)
    assert (row["test_accuracy"], row["test_accuracy_low"], row["test_macro_f1"]) == (
        0.98,
        0.9428,
        0.9799,
    )


def test_the_retrained_trial_is_the_one_shown(tmp_path: Path) -> None:
    study = make_study(tmp_path, "first")
    study.write_metrics(retraining_record("first", trial="0001"))
    assert comparison([study])["trial"].tolist() == ["0001"]


def test_test_columns_are_blank_before_the_test_is_opened(tmp_path: Path) -> None:
    row = comparison([make_study(tmp_path, "first")]).iloc[0]
    assert row.filter(like="test_").isna().all()


def test_studies_without_a_completed_trial_have_no_score(tmp_path: Path) -> None:
    empty = make_study(tmp_path, "empty", trials=0)
    all_failed = make_study(tmp_path, "failed", trials=0)
    all_failed.write_trial(
        TrialRecord(trial="0000", status="failed", hyperparameters={}, epochs=2, seconds=1.0)
    )
    table = comparison([empty, all_failed])
    assert table["score"].isna().all()
    assert table["failed_trials"].tolist() == [0, 1]
    assert table["epochs"].tolist() == [0, 0]


def test_a_damaged_study_is_listed_as_such_and_cannot_be_compared(tmp_path: Path) -> None:
    good, bad = make_study(tmp_path, "good"), make_study(tmp_path, "bad")
    bad.manifest_path.write_text("{")
    table = studies_table([good, bad])
    assert table["state"].tolist() == ["finished", "damaged"]
    with pytest.raises(StudyStateError, match="damaged"):
        comparison([good, bad])


def test_studies_on_the_same_images_compare(tmp_path: Path) -> None:
    assert differences([make_study(tmp_path, "first"), make_study(tmp_path, "second")]) == []


def test_different_images_and_objectives_are_reported(tmp_path: Path) -> None:
    first = make_study(tmp_path, "first")
    second = make_study(tmp_path, "second", objective="val_accuracy")
    write_split(second, test="abd", validation="vw")
    test, objective = differences([first, second])
    assert (test.scores, objective.scores) == ("test", "search")
    assert test.sentence == (
        "The test scores of first and second are not comparable: "
        "their test images differ (3 and 3, 2 in common)."
    )
    assert "first: val_shifted_loss, second: val_accuracy" in objective.sentence


def test_different_rungs_are_reported(tmp_path: Path) -> None:
    first, second = make_study(tmp_path, "first"), make_study(tmp_path, "second", trials=2)
    (rung,) = differences([first, second])
    assert rung.scores == "search"
    assert rung.sentence == (
        "The scores are from different rungs, that is, different numbers of epochs "
        "(first: 4, second: 3)."
    )


def test_searches_on_subsamples_of_the_images_are_reported(tmp_path: Path) -> None:
    studies = [make_study(tmp_path, name) for name in ("first", "second", "old")]
    for study, count in zip(studies, (100, 40), strict=False):
        searched = {"train": count, "validation": count // 5}
        study.write_manifest(replace(study.manifest(), searched=searched))
    (part,) = differences(studies)
    assert part == (
        "search",
        "The scores are of searches on different numbers of images (first: 120, second: 48).",
    )


def test_different_numbers_of_folds_are_reported(tmp_path: Path) -> None:
    studies = [make_study(tmp_path, "first", folds=5), make_study(tmp_path, "second")]
    (found,) = differences(studies)
    assert found.sentence == "The scores are of different numbers of folds (first: 5, second: 0)."


def test_a_study_without_a_score_differs_in_no_rung(tmp_path: Path) -> None:
    scored, empty = make_study(tmp_path, "scored"), make_study(tmp_path, "empty", trials=0)
    assert differences([scored, empty]) == []


def test_a_study_without_its_split_is_not_comparable(tmp_path: Path) -> None:
    first, second = make_study(tmp_path, "first"), make_study(tmp_path, "second")
    second.split_path.unlink()
    assert "(3 and 0, 0 in common)" in differences([first, second])[0].sentence


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    first = make_study(tmp_path, "first_one", trials=1)
    first.write_metrics(retraining_record("first_one"))
    return comparison([first, make_study(tmp_path, "second", trials=0)])


def test_csv_is_parsed_to_the_same_table(table: pd.DataFrame) -> None:
    back = pd.read_csv(io.StringIO(render(table, "csv")), dtype={"trial": str})
    pd.testing.assert_frame_equal(back, table, check_dtype=False)


def test_csv_keeps_the_last_bit() -> None:
    text = render(pd.DataFrame({"score": [0.1 + 0.2]}), "csv")
    assert float(text.splitlines()[1]) == 0.1 + 0.2


def test_json_is_valid_with_null_for_blanks_and_whole_numbers(table: pd.DataFrame) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    first, second = json.loads(render(table, "json"), parse_constant=refuse)
    assert first["test_accuracy"] == 0.98
    assert json.dumps(first["head_units"]) == "256"
    assert first["head_learning_rate"] == 1e-4
    assert second["score"] is None
    assert second["planned_trials"] == 30
    assert list(first) == list(table.columns)


def test_a_study_may_have_the_name_of_a_column() -> None:
    table = pd.DataFrame({"study": ["study", "trials"], "trials": [3, 4]})
    turned = readable(table, transposed=True)
    assert turned.columns.tolist() == ["study", "study", "trials"]
    assert turned.to_numpy().tolist() == [["trials", "3", "4"]]


@pytest.mark.parametrize("transposed", [False, True])
def test_markdown_is_parsed_to_the_same_rounded_table(
    table: pd.DataFrame, transposed: bool
) -> None:
    lines = render(table, "markdown", transposed=transposed).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    shown = readable(table, transposed=transposed)
    assert set(cells[1]) == {"---"}
    assert cells[0] == list(shown.columns)
    assert cells[2:] == shown.to_numpy().tolist()


def test_latex_has_a_line_per_study_with_its_signs_escaped(table: pd.DataFrame) -> None:
    latex = render(table, "latex")
    body = re.findall(r"^(.*) \\\\$", latex, flags=re.MULTILINE)
    assert [line.count(" & ") for line in body] == [readable(table).shape[1] - 1] * 3
    assert r"first\_one & finished" in latex
    paths = pd.DataFrame({"path": ["0001 → 0012"]})
    assert r"0001 $\rightarrow$ 0012" in render(paths, "latex")


def test_an_interval_follows_its_score_in_brackets() -> None:
    bounds = {"loss_low": [0.4, None], "loss_high": [0.6, None], "other_low": [1, 2]}
    shown = readable(pd.DataFrame({"loss": [0.5, None], **bounds}))
    assert shown.columns.tolist() == ["loss", "other low"]
    assert shown.to_numpy().tolist() == [["0.5000 (0.4000 to 0.6000)", "1"], ["", "2"]]


def test_a_standard_error_follows_its_score_where_there_is_one() -> None:
    shown = readable(pd.DataFrame({"score": [0.5, 4e-4], "standard_error": [None, 1.23e-4]}))
    assert shown.columns.tolist() == ["score"]
    assert shown["score"].tolist() == ["0.5000", "4.0e-4 ± 1.2e-4"]


@pytest.mark.parametrize("style", FORMATS)
def test_an_empty_table_renders_in_every_format(style: str) -> None:
    assert render(studies_table([]), style).endswith("\n")


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="'xml'"):
        render(pd.DataFrame(), "xml")


def test_numbers_are_rounded_for_reading() -> None:
    frame = pd.DataFrame(
        {"head_learning_rate": [0.00123], "seconds": [125.0], "score": [0.00281], "rung": [10]}
    )
    assert readable(frame).iloc[0].tolist() == ["1.2e-3", "2 min 05 s", "0.0028", "10"]
    assert readable(frame).columns.tolist() == ["head LR", "time", "score", "rung"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3600, "1 h 00 min"),
        (90061, "25 h 01 min"),
    ],
)
def test_durations_read_naturally(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_bars_inside_markdown_cells_are_escaped() -> None:
    assert markdown_table(["a"], [["x|y"]]).splitlines()[2] == r"| x\|y |"


@pytest.mark.parametrize("style", FORMATS)
def test_an_empty_table_has_its_header(style: str) -> None:
    text = render(pd.DataFrame(columns=["first", "p_value"]), style)
    assert text == "[]\n" if style == "json" else "first" in text


def test_line_breaks_and_names_that_are_not_utf_8_do_not_break_a_table() -> None:
    # As objects: pandas' strings hold only Unicode where pyarrow is installed.
    files = pd.Series(["a\nb.jpg", "\udcff.jpg"], dtype=object)
    frame = pd.DataFrame({"file": files, "p_value": [1e-5, 0.0001]})
    shown = readable(frame)
    assert shown["file"].tolist() == [r"a\nb.jpg", r"\udcff.jpg"]
    assert shown["p value"].tolist() == ["<0.0001", "0.0001"]
    for style in FORMATS:
        render(frame, style).encode()
    assert len(render(frame, "markdown").splitlines()) == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0000"),
        (-0.0, "0.0000"),
        (0.00005, "0.0001"),
        (0.00004, "4.0e-5"),
        (-0.00004, "-4.0e-5"),
        (-1.5, "-1.5000"),
        (1e-12, "1.0e-12"),
    ],
)
def test_a_number_never_prints_as_a_signed_or_false_zero(value: float, text: str) -> None:
    assert number(value) == text
    table = readable(pd.DataFrame({"difference": [value], "test_accuracy": [value]}))
    assert table.iloc[0].tolist() == [text, text]


def test_hyperparameters_have_short_headings() -> None:
    table = readable(pd.DataFrame(columns=list(by_name())))
    first = ["head units", "dropout", "unfreeze depth", "head LR", "FT LR"]
    assert list(table)[:8] == [*first, "image size", "features", "scaling"]
