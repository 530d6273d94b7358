"""The sections on the retrained model: its training, its test, its mistakes."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from results.figures import MEASURES
from results.report import score_drawings, scores
from results.report.blocks import Block, Code, Drawing, Drawings, Paragraph, Section, Table
from results.report.facts import Facts, counted
from results.report.photographs import MOST, Album, least_sure, worst_mistakes


def result_sections(facts: Facts, album: Album) -> list[Section]:
    """Every section that needs `study best`; none before."""
    if facts.metrics is None:
        return []
    test = facts.metrics["test"]
    sections = [_training(facts.metrics, facts.scratch), _stages(test), _report(test)]
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


def training_numbers(metrics: dict[str, Any]) -> pd.DataFrame:
    """The retraining epoch by epoch.

    Columns: epoch (from 1), phase, loss, accuracy, val_loss, val_accuracy, val_macro_f1, kept.
    """
    frame = pd.DataFrame(metrics["curve"])
    # JSON has no NaN: a diverged epoch is null there.
    numbers = frame.columns.difference(["epoch", "phase"])
    frame[numbers] = frame[numbers].astype(np.float64)
    return frame.assign(kept=frame["epoch"] == metrics["selected_epoch"])


def transfer_readings(numbers: pd.DataFrame) -> pd.DataFrame:
    """Where a curve starts, how it climbs and where it ends: the three marks of transfer.

    Columns: measure, start (after the first epoch), slope (change per epoch over phase 1, first
    to last epoch; blank if it has one), asymptote (mean of the last three epochs).

    Source: Torrey and Shavlik (2010), "Transfer learning".
    """
    first = numbers[numbers["phase"] == 1]
    rows = []
    for measure in ("val_accuracy", "val_loss"):
        values = first[measure].to_numpy()
        steps = len(values) - 1
        slope = (values[-1] - values[0]) / steps if steps > 0 else np.nan
        rows.append((measure, values[0], slope, numbers[measure].tail(3).mean()))
    return pd.DataFrame(rows, columns=["measure", "start", "slope", "asymptote"])


def compared_readings(numbers: pd.DataFrame, scratch: pd.DataFrame) -> pd.DataFrame:
    """The readings of both curves and what transfer brought, column by column.

    Columns: measure, weights (pretrained, random, difference), and those of `transfer_readings`.
    """
    mine, other = transfer_readings(numbers), transfer_readings(scratch)
    marks = ["start", "slope", "asymptote"]
    difference = mine.assign(**{mark: mine[mark] - other[mark] for mark in marks})
    parts = {"pretrained": mine, "random": other, "difference": difference}
    table = pd.concat([part.assign(weights=name) for name, part in parts.items()])
    ordered = table.sort_values("measure", kind="stable", ignore_index=True)
    return ordered[["measure", "weights", *marks]]


def _training(metrics: dict[str, Any], scratch: dict[str, Any] | None) -> Section:
    numbers = training_numbers(metrics)
    if scratch is not None:
        beside = training_numbers(scratch)[
            ["epoch", "loss", "val_loss", "accuracy", "val_accuracy"]
        ]
        numbers = numbers.merge(beside, on="epoch", how="left", suffixes=("", "_scratch"))
    fine_tuned = bool((numbers["phase"] == 2).any())
    mark = "; the dashed line is the change of phase" if fine_tuned else ""
    panels = [
        Drawing(
            f"training-{measure}",
            f"{title} of the retraining{mark}.",
            numbers,
            partial(score_drawings.draw_learning, measure=measure),
        )
        for measure, title in MEASURES.items()
    ]
    text = (
        f"Trial {metrics['trial']}, trained once more: {counted(metrics['epochs'], 'epoch')} on "
        f"{metrics['trained_on']}; epoch {metrics['selected_epoch']} was kept. Phase 1 trains the "
        "head on the frozen base"
        + (
            "; phase 2 trains the top of the base with it, at a low rate."
            if fine_tuned
            else ", and with no layer to unfreeze there is no phase 2."
        )
    )
    if scratch is not None:
        frozen = 13 - metrics["settings"].get("unfreeze_depth", 0)
        text += (
            " The same recipe from random weights freezes what it freezes here: "
            f"{frozen} of VGG16's 13 convolutions stay as they were drawn."
        )
    table = (
        transfer_readings(numbers)
        if scratch is None
        else compared_readings(numbers, training_numbers(scratch))
    )
    caption = "Where the validation curves start, climb (per epoch of phase 1) and end."
    blocks: list[Block] = [Paragraph(text), Drawings(panels), Table("readings", caption, table)]
    return Section("training", "Both phases of training", blocks)


def _stages(test: dict[str, Any]) -> Section:
    text = f"The same {counted(test['images'], 'test image')}, before and after each phase."
    table = Table("stages", "Loss in nats; 95 % Wilson intervals.", scores.stages_table(test))
    return Section("stages", "What each phase brought", [Paragraph(text), table])


def _report(test: dict[str, Any]) -> Section:
    counts = scores.confusion_table(test)
    caption = "Counts; the shade is the share of the true class."
    blocks: list[Block] = [
        Table("classification", "scikit-learn's classification report.", scores.report_table(test)),
        Drawings([Drawing("confusion", caption, counts, score_drawings.draw_matrix)]),
    ]
    return Section("report", "Classification report and confusion matrix", blocks)


def _curves(facts: Facts, predictions: pd.DataFrame) -> Section:
    roc = scores.roc_points(predictions, facts.classes)
    curve = scores.precision_recall_points(predictions, facts.classes)
    if roc.empty:
        text = "The test images are all of one class, so there is no curve."
        return Section("roc", "ROC and precision-recall", [Paragraph(text)])
    sought = "Sought is the last class." if len(facts.classes) == 2 else "Each class against all."
    draw_roc, draw_curve = score_drawings.draw_roc, score_drawings.draw_precision_recall
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
    drawing = Drawing("calibration", caption, bins, score_drawings.draw_calibration)
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
    wrong, unsure = worst_mistakes(answers), least_sure(answers)
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
