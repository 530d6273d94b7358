import csv
import shutil
import xml.etree.ElementTree as ElementTree
from importlib import resources
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest
from PIL import Image
from small_report import (
    TWO,
    add_best,
    draw_folder,
    make_study,
    trial,
    whole_study,
)

from concrete_study.datasets.files import file_sha256, write_json
from concrete_study.datasets.splits import write_split
from concrete_study.results.folder import StudyFolder
from concrete_study.results.report.data import read_facts
from concrete_study.results.report.elements import Drawing, Drawings, Parallel
from concrete_study.results.report.writing import SVG_STYLE, report_sections, write_report

THREE = ("crack", "none", "spalling")
TEXT = dict.fromkeys(("trial", "configuration", "class", "true", "status"), str)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study with everything, and its report."""
    study = whole_study(tmp_path_factory.mktemp("runs") / "whole")
    write_report(study)
    return study


def drawings(study: StudyFolder) -> list[Drawing]:
    blocks = [block for s in report_sections(read_facts(study)) for block in s.blocks]
    side_by_side = [d for block in blocks if isinstance(block, Drawings) for d in block.drawings]
    return side_by_side + [block.drawing for block in blocks if isinstance(block, Parallel)]


def markdown(study: StudyFolder) -> str:
    """The report's words, its page checked on the way."""
    page = write_report(study).read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    for outside in ('src="http', 'href="http', "@import", "url(http"):
        assert outside not in page.replace("http://www.w3.org", "")
    return (study.path / "report" / "report.md").read_text(encoding="utf-8")


def test_the_sections_stand_in_the_order_of_interest(whole: StudyFolder) -> None:
    anchors = [section.anchor for section in report_sections(read_facts(whole))]
    wanted = (
        "answer leaderboard search importance slices parallel curves training checkpoints report "
    )
    wanted += "roc calibration thresholds mistakes samples model split environment"
    assert anchors == wanted.split()


def test_every_figure_is_recomputed_from_the_csv_beside_it(
    whole: StudyFolder, tmp_path: Path
) -> None:
    folder = whole.path / "report" / "figures"
    drawn = drawings(whole)
    assert {path.stem for path in folder.iterdir()} == {drawing.name for drawing in drawn}
    for drawing in drawn:
        numbers = pd.read_csv(
            folder / f"{drawing.name}.csv", dtype=TEXT, float_precision="round_trip"
        )
        with mpl.rc_context(SVG_STYLE):
            drawing.draw(numbers).savefig(tmp_path / "again.svg", metadata={"Date": None})
        again = (tmp_path / "again.svg").read_bytes()
        assert again == (folder / f"{drawing.name}.svg").read_bytes(), drawing.name


def test_a_change_of_phase_is_named_only_where_there_is_one(
    whole: StudyFolder, tmp_path: Path
) -> None:
    caption = "dashed line is the change of phase"
    assert caption in markdown(whole)
    study = StudyFolder(shutil.copytree(whole.path, tmp_path / "one-phase"))
    metrics = study.required_metrics()
    for epoch in metrics["curve"]:
        epoch["phase"] = 1
    write_json(study.metrics_path, metrics)
    assert caption not in markdown(study)


def test_every_figure_is_a_whole_png_and_svg(whole: StudyFolder) -> None:
    for path in (whole.path / "report" / "figures").iterdir():
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.load()
        elif path.suffix == ".svg":
            assert ElementTree.parse(path).getroot().tag.endswith("svg")


def test_every_table_is_a_csv_with_every_digit(whole: StudyFolder) -> None:
    folder = whole.path / "report" / "tables"
    board = list(csv.DictReader((folder / "leaderboard.csv").open(encoding="utf-8")))
    assert len(board) == 22
    best = min((r for r in whole.trials() if r.epochs == 10), key=lambda record: record.score or 9)
    assert (board[0]["trial"], board[0]["score"]) == (best.trial, str(best.score))


def test_the_answer_is_one_paragraph_with_figures(whole: StudyFolder) -> None:
    answer = report_sections(read_facts(whole))[0].blocks[0]
    text = getattr(answer, "text", "")
    assert text.startswith("The best of 22 configurations (30 trials in 1 min 05 s) is trial ")
    assert "Trial 0016, retrained, is right on 80.00 % of 10 test images" in text
    assert "wrong on 1 of 5 Negative, 1 of 5 Positive" in text


def test_the_page_and_the_folder_hold_the_photographs(whole: StudyFolder) -> None:
    page = (whole.path / "report" / "report.html").read_text(encoding="utf-8")
    pictures = list((whole.path / "report" / "pictures").iterdir())
    assert page.count('src="data:image/jpeg;base64,') == len(pictures) == 2 + 8 + 20
    with Image.open(pictures[0]) as image:
        assert image.size == (160, 160)


def test_photographs_that_changed_or_moved_away_are_left_out(tmp_path: Path) -> None:
    study = whole_study(tmp_path / "moved", records=[trial(12, 10, 0.1)])
    images = Path(study.manifest()["data"][""])
    shutil.rmtree(images / "Positive")
    (images / "Negative" / "000.png").write_bytes(b"other")
    text = markdown(study)
    assert "Training images" in text
    assert "![Negative/000.png]" not in text
    assert "![Positive/" not in text
    assert "1 of 10 are not shown: moved away or changed since the search." in text
    shutil.rmtree(images)
    assert "Training images" not in markdown(study)


def test_an_empty_study_says_so(tmp_path: Path) -> None:
    text = markdown(make_study(tmp_path / "empty", state="interrupted", planned_trials=30))
    assert "Study empty has no finished trial yet" in text
    assert "The search is interrupted, with 0 of 30 trials." in text
    assert "Hyperparameter importance" not in text


def test_a_study_of_failures_gives_the_reason(tmp_path: Path) -> None:
    study = make_study(tmp_path / "lost", [trial(n, 2, None) for n in range(3)])
    text = markdown(study)
    assert "None of the 3 trials of study lost has a score" in text
    assert "The last failure: the loss is not a number" in text
    assert "No trial has a score, so there is nothing to rank." in text


def test_trials_without_a_number_do_not_count_but_are_told(tmp_path: Path) -> None:
    nan = float("nan")
    records = [trial(0, 2, 0.5), trial(1, 2, nan), trial(2, 2, 0.25), trial(3, 2, None)]
    text = markdown(make_study(tmp_path / "nan", records))
    assert "is trial 0002" in text
    assert "2 trials without a score that is a number." in text
    assert "From the 2 trials at 2 epochs" in text


def test_one_trial_is_enough_for_a_report(tmp_path: Path) -> None:
    text = markdown(make_study(tmp_path / "one", [trial(0, 10, 0.25)]))
    assert "The best of 1 configuration (1 trial in 1 min 05 s) is trial 0000" in text
    assert "alone on that rung" in text
    assert "`study best one` retrains this trial and tests it, once." in text
    assert "Nothing can be said: it takes at least 5 trials that differ." in text
    assert "Calibration" not in text


def test_three_classes_have_curves_of_each_and_no_thresholds(tmp_path: Path) -> None:
    study = whole_study(tmp_path / "three", THREE, records=[trial(12, 10, 0.1)])
    text = markdown(study)
    assert "## Thresholds" not in text
    areas = pd.read_csv(study.path / "report" / "tables" / "areas.csv")
    assert areas["class"].tolist() == list(THREE)


def test_names_with_html_in_them_stay_words(tmp_path: Path) -> None:
    classes = ("</script><b>", "a & `b`")
    study = make_study(tmp_path / "html", [trial(12, 10, 0.1)], classes=list(classes))
    rows = draw_folder(tmp_path / "images", TWO)
    renamed = dict(zip(TWO, classes, strict=True))
    rows = [row._replace(label=renamed[row.label]) for row in rows]
    write_split(study.split_path, rows)
    add_best(study, rows, classes)
    write_report(study)
    page = (study.path / "report" / "report.html").read_text(encoding="utf-8")
    assert "</script><b>" not in page
    assert "&lt;/script&gt;&lt;b&gt;" in page


@pytest.mark.parametrize("objective", ["val_accuracy", "val_macro_f1"])
def test_other_objectives_are_best_when_high(tmp_path: Path, objective: str) -> None:
    options: dict[str, Any] = {"objective": objective, "algorithm": "random"}
    records = [trial(n, 3, 0.5 + 0.05 * n) for n in range(6)]
    text = markdown(make_study(tmp_path / "high", records, options=options))
    assert f"is trial 0005: units 64, head rate 0.001. It reached {objective} 0.7500" in text
    assert "How Hyperband got there" not in text


def test_a_report_that_fails_leaves_the_old_one(
    whole: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(path.name for path in whole.path.iterdir())
    page = (whole.path / "report" / "report.html").read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("concrete_study.results.report.writing._write_drawing", fail)
    with pytest.raises(OSError, match="no space"):
        write_report(whole)
    assert (whole.path / "report" / "report.html").read_bytes() == page
    assert sorted(path.name for path in whole.path.iterdir()) == before


def test_the_commands_repeat_the_study(whole: StudyFolder) -> None:
    text = (whole.path / "report" / "report.md").read_text(encoding="utf-8")
    command = "study search --name whole --algorithm hyperband --max-epochs 10"
    assert command in text
    assert "study best whole --epochs 10 --fast" in text
    stored = (whole.path / "report" / "space.toml").read_text(encoding="utf-8")
    from concrete_study.search.space import read_space

    space = read_space(whole.path / "report" / "space.toml")
    assert space["head_units"].choices == (0, 64, 256), stored
    assert space["head_learning_rate"].log


def test_a_space_is_written_as_it_was_searched(tmp_path: Path) -> None:
    from concrete_study.search.space import read_space

    study = make_study(tmp_path / "linear", [trial(0, 10, 0.1)])
    manifest = study.manifest()
    rate = {"choices": [], "low": 1e-5, "high": 1e-2, "log": False}  # unlike the default
    space = manifest["options"]["space"] | {"head_learning_rate": rate}
    study.write_manifest(manifest | {"options": manifest["options"] | {"space": space}})
    markdown(study)
    again = read_space(study.path / "report" / "space.toml")
    assert {name: (*d.choices, d.low, d.high, d.log) for name, d in again.items()} == {
        name: (*d["choices"], d["low"], d["high"], d["log"]) for name, d in space.items()
    }


def test_echarts_is_the_published_file() -> None:
    folder = Path(str(resources.files("results"))) / "templates" / "report" / "echarts"
    assert file_sha256(folder / "echarts.min.js") in (folder / "README.md").read_text()


def test_what_other_photographs_showed_stands_in_the_answer_and_in_a_table(tmp_path: Path) -> None:
    study = whole_study(tmp_path / "far", records=[trial(12, 10, 0.1)])
    metrics = study.metrics()
    assert metrics is not None
    apart = [{"source": "fine", "subset": "external", **metrics["test"], "accuracy": 0.55}]
    write_json(study.metrics_path, metrics | {"by_dataset": apart})
    found = {"data": "/photographs/decks", "test": metrics["test"] | {"accuracy": 0.5375}}
    write_json(study.evaluations_path / "decks-1" / "metrics.json", found)
    text = markdown(study)
    assert "On 10 photographs of fine (held-out) it is right on 55.00 %." in text
    assert "On 10 photographs of decks (external) it is right on 53.75 %." in text
    table = pd.read_csv(study.path / "report" / "tables" / "others.csv")
    assert table["accuracy"].tolist() == [0.55, 0.5375]
