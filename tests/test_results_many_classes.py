"""A hundred classes: readable figures, printed output and card, without warnings."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from small_records import retraining_record, study_record

from concrete_study.results.card import model_card
from concrete_study.results.evaluation import evaluate
from concrete_study.results.evaluation_records import TestReport
from concrete_study.results.figures import LARGEST_SIDE, new_figure, save_figure
from concrete_study.results.report.score_figures import (
    LABELLED_CURVES,
    draw_confusion,
    draw_precision_recall,
    draw_roc,
)
from concrete_study.results.report.scores import (
    confusion_table,
    precision_recall_points,
    readable_report,
    roc_points,
    top_confusions,
)

CLASSES = [f"class {number:03}" for number in range(100)]


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    random = np.random.default_rng(4)
    truth = np.arange(300) % 100
    logits = random.normal(size=(300, 100))
    logits[np.arange(300), truth] += 3
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    frame = pd.DataFrame(shares, columns=[f"p_{name}" for name in CLASSES])
    frame.insert(0, "file", [f"{number}.jpg" for number in range(300)])
    frame.insert(1, "class", [CLASSES[number] for number in truth])
    return frame.assign(checkpoint="best")


@pytest.fixture(scope="module")
def test(predictions: pd.DataFrame) -> TestReport:
    return evaluate(predictions, CLASSES)


def saved(figure: Figure, path: Path) -> tuple[int, int]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(figure, path)
    return Image.open(path).size


def test_the_top_confusions_replace_the_matrix(test: TestReport, tmp_path: Path) -> None:
    counts = confusion_table(test)
    table = top_confusions(counts)
    assert len(table) == 20
    assert table["images"].is_monotonic_decreasing
    matrix = np.array(test.confusion_matrix)
    np.fill_diagonal(matrix, 0)
    assert table["images"].tolist() == sorted(matrix.ravel().tolist(), reverse=True)[:20]
    figure = draw_confusion(counts)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[0] == f"{table['true'][0]} → {table['predicted'][0]}"
    assert max(saved(figure, tmp_path / "a.png")) < 1500
    perfect = counts.copy()
    perfect.iloc[:, 1:] = np.eye(100, dtype=int)
    assert top_confusions(perfect).empty
    saved(draw_confusion(perfect), tmp_path / "b.png")


def test_only_the_worst_curves_have_a_colour_and_a_label(
    predictions: pd.DataFrame, tmp_path: Path
) -> None:
    roc, curve = roc_points(predictions, CLASSES), precision_recall_points(predictions, CLASSES)
    worst = roc.groupby("class")["roc_auc"].first().nsmallest(LABELLED_CURVES)
    for figure in (draw_roc(roc), draw_precision_recall(curve)):
        legend = figure.axes[0].get_legend()
        assert legend is not None
        assert len(legend.get_texts()) <= LABELLED_CURVES + 1
        saved(figure, tmp_path / "curves.png")
    legend = draw_roc(roc).axes[0].get_legend()
    assert legend is not None
    assert all(any(name in t.get_text() for t in legend.get_texts()) for name in worst.index)


def test_no_png_has_more_than_4000_pixels_on_a_side(tmp_path: Path) -> None:
    assert max(saved(new_figure(80, 3), tmp_path / "wide.png")) <= LARGEST_SIDE


def test_the_printed_report_has_the_worst_classes_and_names_where_all_are(
    test: TestReport,
) -> None:
    text = readable_report(test)
    assert len(text.splitlines()) < 40
    assert max(map(len, text.splitlines())) < 120
    assert "The 10 of 100 classes with the lowest F1; `by_class`" in text
    lowest = min(test.by_class, key=lambda name: test.by_class[name].f1)
    assert lowest in text
    assert "Most frequent confusions:" in text


def test_the_card_lists_the_top_confusions(test: TestReport) -> None:
    study = study_record("many", classes=CLASSES)
    card = model_card(study, retraining_record("many", test=test), trials=3)
    assert "Most frequent confusions:" in card
    assert "Confusion matrix" not in card


def test_class_names_that_the_font_does_not_have_cause_no_warning(tmp_path: Path) -> None:
    counts = pd.DataFrame({"true": ["裂缝", "🧱"], "裂缝": [3, 1], "🧱": [0, 4]})
    assert min(saved(draw_confusion(counts), tmp_path / "confusion.png")) > 100
