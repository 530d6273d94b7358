import csv
import re
import shutil
import xml.etree.ElementTree as ElementTree
from base64 import b64encode
from hashlib import sha256
from importlib import resources
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from msgspec.structs import replace
from PIL import Image
from small_records import evaluation_record
from small_report import (
    SPACE,
    TWO,
    Tags,
    add_best,
    draw_folder,
    make_study,
    trial,
    whole_study,
)

from concrete_study.datasets.files import file_sha256
from concrete_study.datasets.splits import write_split
from concrete_study.results.evaluation_records import DatasetReport, Estimate
from concrete_study.results.figures import write_figure
from concrete_study.results.folder import StudyFolder
from concrete_study.results.hyperparameters import Dimension, default_space
from concrete_study.results.records import SearchOptions
from concrete_study.results.report.data import read_report_data
from concrete_study.results.report.elements import Plot
from concrete_study.results.report.writing import SVG_STYLE, report_sections, write_report
from concrete_study.results.stored import write_record
from concrete_study.search.config import read_config

THREE = ("crack", "none", "spalling")
TEXT = dict.fromkeys(("trial", "configuration", "class", "true", "status", "weights"), str)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study with everything, and its report."""
    study = whole_study(tmp_path_factory.mktemp("runs") / "whole")
    write_report(study)
    return study


def plots(study: StudyFolder) -> list[Plot]:
    return [plot for s in report_sections(read_report_data(study)) for plot in s.plots()]


def markdown(study: StudyFolder) -> str:
    """The report's words, its page checked on the way."""
    page = write_report(study).read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    for outside in ('src="http', 'href="http', "@import", "url(http"):
        assert outside not in page.replace("http://www.w3.org", "")
    return (study.path / "report" / "report.md").read_text(encoding="utf-8")


def test_the_sections_stand_in_the_order_of_interest(whole: StudyFolder) -> None:
    anchors = [section.anchor for section in report_sections(read_report_data(whole))]
    wanted = "summary leaderboard search importance slices parallel curves training checkpoints "
    wanted += "classification roc calibration thresholds misclassified samples model split "
    wanted += "environment"
    assert anchors == wanted.split()


def test_every_figure_is_reproduced_from_its_csv(whole: StudyFolder, tmp_path: Path) -> None:
    folder = whole.path / "report" / "figures"
    drawn = plots(whole)
    assert {path.stem for path in folder.iterdir()} == {plot.name for plot in drawn}
    for plot in drawn:
        numbers = pd.read_csv(folder / f"{plot.name}.csv", dtype=TEXT, float_precision="round_trip")
        with mpl.rc_context(SVG_STYLE):
            write_figure(plot.draw(numbers), tmp_path / "again.svg", format="svg")
        again = (tmp_path / "again.svg").read_bytes()
        assert again == (folder / f"{plot.name}.svg").read_bytes(), plot.name


def test_the_start_of_fine_tuning_is_mentioned_only_if_there_is_a_phase_2(
    whole: StudyFolder, tmp_path: Path
) -> None:
    caption = "dashed line is the start of fine-tuning"
    assert caption in (whole.path / "report" / "report.md").read_text(encoding="utf-8")
    study = StudyFolder(shutil.copytree(whole.path, tmp_path / "one-phase"))
    assert any(caption in plot.caption for plot in plots(study))
    metrics = study.required_metrics()
    curve = [replace(epoch, phase=1) for epoch in metrics.curve]
    study.write_metrics(replace(metrics, curve=curve))
    assert not any(caption in plot.caption for plot in plots(study))


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


def test_the_summary_is_one_paragraph_with_figures(whole: StudyFolder) -> None:
    text = str(report_sections(read_report_data(whole))[0].elements[0])
    assert text.startswith("The search ran 30 trials of 22 configurations in 1 min 05 s. The best")
    assert "The retrained model (trial 0016) classifies 80.00 % of 10 test images corr" in text
    assert "Misclassified: 1 of 5 Negative, 1 of 5 Positive." in text


def test_a_small_loss_never_prints_as_zero(tmp_path: Path) -> None:
    study = whole_study(tmp_path / "sure", records=[trial(16, 10, 2e-6), trial(17, 10, 3e-6)])
    metrics = study.required_metrics()
    loss = Estimate(value=4e-7, low=3e-7, high=5e-7)
    scores = replace(metrics.test.scores, loss=loss)
    study.write_metrics(replace(metrics, test=replace(metrics.test, scores=scores)))
    text = markdown(study)
    for shown in (
        "validation loss under shifts of 2.0e-6",
        "budget has 3.0e-6",
        "a loss of 4.0e-7",
    ):
        assert shown in text
    assert "-0.0000" not in text


def test_the_page_and_the_folder_have_the_images(whole: StudyFolder) -> None:
    page = (whole.path / "report" / "report.html").read_text(encoding="utf-8")
    images = list((whole.path / "report" / "images").iterdir())
    assert page.count('src="data:image/jpeg;base64,') == len(images) == 2 + 8 + 20
    with Image.open(images[0]) as image:
        assert image.size == (160, 160)


def test_images_that_changed_or_moved_are_left_out(tmp_path: Path) -> None:
    study = whole_study(tmp_path / "moved", records=[trial(12, 10, 0.1)])
    images = Path(study.manifest().data[""])
    shutil.rmtree(images / "Positive")
    (images / "Negative" / "000.png").write_bytes(b"other")
    text = markdown(study)
    assert "Training images" in text
    assert "![Negative/000.png]" not in text
    assert "![Positive/" not in text
    assert "1 of 10 images are not shown: moved or changed since the search." in text
    shutil.rmtree(images)
    assert "samples" not in [s.anchor for s in report_sections(read_report_data(study))]


def test_a_study_without_trials_has_a_report(tmp_path: Path) -> None:
    text = markdown(make_study(tmp_path / "empty", state="interrupted", planned_trials=30))
    assert "Study empty has no finished trial yet" in text
    assert "The search is interrupted (0 of 30 trials)." in text
    assert "Hyperparameter importance" not in text


def test_a_study_of_failures_gives_the_reason(tmp_path: Path) -> None:
    study = make_study(tmp_path / "lost", [trial(n, 2, None) for n in range(3)])
    text = markdown(study)
    assert "None of the 3 trials of study lost has a score" in text
    assert "The last failure: the loss is not a number" in text
    assert "No trial has a score." in text


def test_scores_of_folds_have_their_standard_errors(tmp_path: Path) -> None:
    records = [trial(n, 10, 0.2 + n / 10, bracket=0, standard_error=0.0123) for n in range(3)]
    study = make_study(tmp_path / "folded", records, options=SearchOptions(folds=5))
    text = markdown(study)
    assert "of 0.2000 ± 0.0123 at a budget of 10 epochs" in text
    assert "| 0.3000 ± 0.0123 |" in text
    (plot,) = [plot for plot in plots(study) if plot.name == "bracket-0"]
    assert len(plot.draw(plot.frame).axes[0].collections) == 3  # error bars


def test_trials_without_a_finite_score_are_listed_but_not_ranked(tmp_path: Path) -> None:
    nan = trial(1, 2, float("nan"), metrics={}, curve=[])
    records = [trial(0, 2, 0.5), nan, trial(2, 2, 0.25), trial(3, 2, None)]
    text = markdown(make_study(tmp_path / "nan", records))
    assert "The best is trial 0002" in text
    assert "2 trials without a finite score." in text
    assert "From the 2 trials at 2 epochs" in text


def test_one_trial_is_enough_for_a_report(tmp_path: Path) -> None:
    text = markdown(make_study(tmp_path / "one", [trial(0, 10, 0.25)]))
    assert "1 trial of 1 configuration in 1 min 05 s. The best is trial 0000" in text
    assert "No other trial has this budget." in text
    assert "`study best one` retrains the best trial and evaluates it once." in text
    assert "Importance needs at least 5 trials with different scores and values." in text
    assert "Calibration" not in text


def test_significant_hyperparameters_are_named(whole: StudyFolder) -> None:
    text = (whole.path / "report" / "report.md").read_text(encoding="utf-8")
    assert (
        "Significant: head learning rate. No significant association was found for the others "
        "(12 trials)." in text
    )


def test_three_classes_have_curves_of_each_and_no_thresholds(tmp_path: Path) -> None:
    study = whole_study(tmp_path / "three", THREE, records=[trial(12, 10, 0.1)])
    text = markdown(study)
    assert "## Thresholds" not in text
    curves = pd.read_csv(study.path / "report" / "figures" / "roc.csv")
    assert curves["class"].unique().tolist() == list(THREE)


def test_names_with_html_are_escaped_and_only_the_scripts_of_the_page_may_run(
    tmp_path: Path,
) -> None:
    classes = ("</script></style>\"'><img src=x onerror=alert()><b>", "a & `b`<!-- $\\frac{$")
    study = make_study(tmp_path / "html", [trial(12, 10, 0.1)], classes=list(classes))
    rows = draw_folder(tmp_path / "images", TWO)
    renamed = dict(zip(TWO, classes, strict=True))
    rows = [row._replace(label=renamed[row.label]) for row in rows]
    write_split(study.split_path, rows)
    add_best(study, rows, classes)
    write_report(study)
    page = (study.path / "report" / "report.html").read_text(encoding="utf-8")
    assert "</script></style>" not in page
    assert "&lt;/script&gt;&lt;/style&gt;" in page
    tags = Tags(page)
    assert not {"b", "x"} & {tag for tag, _ in tags.found}
    assert not [n for _, attributes in tags.found for n in attributes if n.startswith("on")]
    assert {(a["src"] or "")[:11] for tag, a in tags.found if tag == "img"} <= {"data:image/"}
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digests = {b64encode(sha256(script.encode()).digest()).decode() for script in scripts}
    assert digests
    assert set(re.findall(r"'sha256-([^']+)'", tags.policy)) == digests
    assert tags.policy.startswith("default-src 'none'; img-src data:;")
    markdown = (study.path / "report" / "report.md").read_text(encoding="utf-8")
    assert "&lt;img src=x" in markdown
    assert not re.search("<[A-Za-z/!?]", markdown)
    assert not re.search(r"script-src[^;]*(unsafe|http|\*)", tags.policy)


@pytest.mark.parametrize("objective", ["val_accuracy", "val_macro_f1"])
def test_other_objectives_are_best_when_high(tmp_path: Path, objective: str) -> None:
    options = SearchOptions(objective=objective, algorithm="random")
    records = [trial(n, 3, 0.5 + 0.05 * n, metrics={objective: 0.5 + 0.05 * n}) for n in range(6)]
    text = markdown(make_study(tmp_path / "high", records, options=options))
    label = objective.removeprefix("val_").replace("_f1", " F1")
    assert (
        f"trial 0005 (head units 64, head LR 1.0e-3), with a validation {label} of 0.7500" in text
    )
    assert "## Hyperband" not in text


def test_a_report_that_fails_leaves_the_old_one(
    whole: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(path.name for path in whole.path.iterdir())
    page = (whole.path / "report" / "report.html").read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("concrete_study.results.report.writing._write_plot", fail)
    with pytest.raises(OSError, match="no space"):
        write_report(whole)
    assert (whole.path / "report" / "report.html").read_bytes() == page
    assert sorted(path.name for path in whole.path.iterdir()) == before


def test_the_commands_repeat_the_study(whole: StudyFolder) -> None:
    text = (whole.path / "report" / "report.md").read_text(encoding="utf-8")
    assert "study search --config study.toml --name whole\nstudy best whole --epochs 10\n" in text
    options = read_config(whole.path / "report" / "study.toml").options()
    stored = whole.manifest().options
    assert options == replace(stored, space=default_space() | stored.space)
    assert options.space["head_units"].choices == (0, 64, 256)
    assert options.space["head_learning_rate"].log


def test_the_space_is_written_as_it_was_searched(tmp_path: Path) -> None:
    rate = Dimension(low=1e-5, high=1e-2)  # not logarithmic, unlike the default
    space = SPACE | {"head_learning_rate": rate}
    study = make_study(tmp_path / "linear", [trial(0, 10, 0.1)], options=SearchOptions(space=space))
    markdown(study)
    options = read_config(study.path / "report" / "study.toml").options()
    assert options.space == default_space() | space


def test_echarts_is_the_published_file() -> None:
    folder = Path(str(resources.files("concrete_study.results"))) / "templates/report/echarts"
    assert file_sha256(folder / "echarts.min.js") in (folder / "README.md").read_text()


def test_external_test_sets_are_in_the_summary_and_in_a_table(tmp_path: Path) -> None:
    study = whole_study(tmp_path / "far", records=[trial(12, 10, 0.1)])
    metrics = study.required_metrics()
    fine = replace(metrics.test, accuracy=0.55)
    parts = [DatasetReport(dataset="fine", subset="external", test=fine)]
    study.write_metrics(replace(metrics, by_dataset=parts))
    found = evaluation_record(
        "far", test=replace(metrics.test, accuracy=0.5375), data="/photographs/decks"
    )
    write_record(study.evaluations_path / "decks-1" / "metrics.json", found)
    text = markdown(study)
    assert "On the external test set fine (10 images) accuracy is 55.00 %." in text
    assert "On the external test set decks (10 images) accuracy is 53.75 %." in text
    table = pd.read_csv(study.path / "report" / "tables" / "datasets.csv")
    assert table["accuracy"].tolist() == [0.55, 0.5375]
