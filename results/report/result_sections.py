"""The sections on the retrained model: its test, its mistakes, its layers."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import pandas as pd

from concrete_study.results.formats import counted
from concrete_study.results.report import score_figures, scores
from concrete_study.results.report.data import Facts
from concrete_study.results.report.elements import (
    Block,
    Code,
    Drawing,
    Drawings,
    Paragraph,
    Section,
    Table,
)
from concrete_study.results.report.images import MOST, Album, least_confident, most_confident_errors
from concrete_study.results.report.training_section import training_section


def result_sections(facts: Facts, album: Album) -> list[Section]:
    """Every section that needs `study best`; none before."""
    if facts.metrics is None:
        return []
    test = facts.metrics["test"]
    sections = [training_section(facts.metrics, facts.scratch), _stages(test), _report(test)]
    if len(others := others_table(facts.metrics, facts.evaluations)):
        sections.append(_others(others))
    if facts.predictions is not None:
        sections += [
            _curves(facts, facts.predictions),
            _calibration(facts, facts.predictions),
            *_thresholds(facts, facts.predictions),
            _mistakes(facts, facts.predictions, album),
        ]
    return sections


def model_sections(facts: Facts) -> list[Section]:
    """The layers of the retrained model, and how many parameters each phase trains."""
    if facts.metrics is None or not facts.summary:
        return []
    counts = facts.metrics.get("parameters", {})
    rows = [
        {"part": phase.replace("_", " "), **numbers}
        for phase, numbers in counts.items()
        if isinstance(numbers, dict)
    ]
    blocks: list[Block] = [Code(facts.summary)]
    if facts.illustrations is not None and (path := facts.illustrations / "base.txt").exists():
        blocks = [
            Paragraph("VGG16 without its top:"),
            Code(path.read_text(encoding="utf-8")),
            Paragraph("The whole network:"),
            *blocks,
        ]
    if rows:
        base = f"; VGG16's base has {counts['base']:,}" if "base" in counts else ""
        caption = f"Parameters that each phase trains and leaves{base}."
        blocks.append(Table("parameters", caption, pd.DataFrame(rows)))
    return [Section("model", "The model", blocks)]


def others_table(metrics: dict[str, Any], evaluations: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Scores on parts of the test images, on held-out folders and on photographs from external.

    Columns: photographs (the folder's name), which (test, held-out or external), images,
    accuracy, accuracy_low, accuracy_high (Wilson 95 %), loss (nats), macro_f1.
    """
    scored = [(part["source"], part["subset"], part) for part in metrics.get("by_dataset", [])]
    scored += [(PurePath(e["data"]).name, "external", e["test"]) for e in evaluations]
    rows = [
        {
            "photographs": name,
            "which": which,
            "images": test["images"],
            "accuracy": test["accuracy"],
            "accuracy_low": test["accuracy_interval"][0],
            "accuracy_high": test["accuracy_interval"][1],
            "loss": test["loss"],
            "macro_f1": test["macro_f1"],
        }
        for name, which, test in scored
    ]
    return pd.DataFrame(rows)


def _others(table: pd.DataFrame) -> Section:
    text = (
        "The same model on each folder apart. What it is worth where it was not trained is told by "
        "held-out folders and those from external (`study evaluate`) alone."
    )
    caption = "95 % Wilson intervals."
    return Section(
        "others", "Other photographs", [Paragraph(text), Table("others", caption, table)]
    )


def _stages(test: dict[str, Any]) -> Section:
    text = f"The same {counted(test['images'], 'test image')}, before and after each phase."
    table = Table("checkpoints", "Loss in nats; 95 % Wilson intervals.", scores.stages_table(test))
    return Section("checkpoints", "What each phase brought", [Paragraph(text), table])


def _report(test: dict[str, Any]) -> Section:
    counts = scores.confusion_table(test)
    caption = "Counts; the shade is the share of the true class."
    blocks: list[Block] = [
        Table("classification", "scikit-learn's classification report.", scores.report_table(test)),
        Drawings([Drawing("confusion", caption, counts, score_figures.draw_matrix)]),
    ]
    return Section("report", "Classification report and confusion matrix", blocks)


def _curves(facts: Facts, predictions: pd.DataFrame) -> Section:
    roc = scores.roc_points(predictions, facts.classes)
    curve = scores.precision_recall_points(predictions, facts.classes)
    if roc.empty:
        text = "The test images are all of one class, so there is no curve."
        return Section("roc", "ROC and precision-recall", [Paragraph(text)])
    sought = "Sought is the last class." if len(facts.classes) == 2 else "Each class against all."
    draw_roc, draw_curve = score_figures.draw_roc, score_figures.draw_precision_recall
    panels = [
        Drawing("roc", f"{sought} Area 0.5 is chance, 1 is perfect.", roc, draw_roc),
        Drawing("precision-recall", "Of what is taken for the class.", curve, draw_curve),
    ]
    table = Table("areas", "Areas under the curves.", scores.areas(roc, curve))
    return Section("roc", "ROC and precision-recall", [Drawings(panels), table])


def _calibration(facts: Facts, predictions: pd.DataFrame) -> Section:
    bins = scores.calibration(predictions, facts.classes)
    said = (
        f"the probability of {facts.classes[1]}"
        if len(facts.classes) == 2
        else "the highest probability"
    )
    text = (
        f"Test images put together by {said}, in {scores.BINS} bins: how often it was so. Numbers "
        "are images, bars 95 % Wilson intervals; points with few images say little. Expected "
        f"calibration error: {scores.calibration_error(bins):.4f}."
    )
    caption = "On the dashed line, 70 % said would be 70 % true."
    drawing = Drawing("calibration", caption, bins, score_figures.draw_calibration)
    return Section("calibration", "Calibration", [Paragraph(text), Drawings([drawing])])


def _thresholds(facts: Facts, predictions: pd.DataFrame) -> list[Section]:
    if facts.validation is None or len(facts.classes) != 2:
        return []  # of three classes, none is the one to be found
    sought = facts.classes[1]
    count = int((facts.validation["class"] == sought).sum())
    if count == 0:
        return []
    table = scores.thresholds(facts.validation, predictions, facts.classes)
    text = (
        f"From which probability on to call an image {sought}, so that the wanted part of them is "
        f"found: chosen on the {count} of validation, halfway to the next answer below, "
        f"judged on test. With {count} of them recalls differ by steps of {100 / count:.2g} %, so "
        "nearby wishes give one threshold."
    )
    return [
        Section(
            "thresholds",
            "Thresholds",
            [
                Paragraph(text),
                Table("thresholds", f"Finding {sought}, and its false alarms.", table),
            ],
        )
    ]


def _mistakes(facts: Facts, predictions: pd.DataFrame, album: Album) -> Section:
    answers = scores.answers(predictions, facts.classes)
    wrong, unsure = most_confident_errors(answers), least_confident(answers)
    blocks: list[Block] = []
    for name, rows, title in (
        ("mistakes", wrong, "Wrong answers, the surest first."),
        ("unsure", unsure, "Right answers that were the closest."),
    ):
        shown = rows.head(MOST)
        captions = [
            f"{file}: {true}{f', taken for {said}' if said != true else ''} ({sure:.3f})"
            for file, true, said, sure in zip(
                *(shown[column] for column in ("file", "true", "predicted", "p_predicted")),
                strict=True,
            )
        ]
        blocks += album.sheet(name, title, shown["file"].tolist(), captions)
        if len(rows):
            blocks.append(Table(name, title, rows, most=MOST))
    if wrong.empty:
        text = f"None of the {counted(len(answers), 'test image')} is classified wrongly."
    else:
        text = f"{len(wrong)} of {counted(len(answers), 'test image')} are classified wrongly."
    if facts.illustrations is not None:
        text += (
            " Beside each photograph is where the evidence for the answer lies (Grad-CAM at the "
            "last convolution): the brighter, the more."
        )
    return Section("mistakes", "Worst mistakes and least sure", [Paragraph(text), *blocks])
