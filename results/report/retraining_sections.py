"""The sections on the retraining: its learning curves, the effect of transfer, the network."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from msgspec.structs import asdict

from concrete_study.results.formats import counted
from concrete_study.results.learning_curves import (
    MEASURES,
    Curve,
    Measure,
    curves_table,
    draw_measure,
    read_curves,
)
from concrete_study.results.objectives import OBJECTIVES
from concrete_study.results.records import RetrainingRecord, ScratchRecord
from concrete_study.results.report.data import ReportData
from concrete_study.results.report.elements import Code, Element, Plot, Plots, Section, Table
from concrete_study.results.report.scores import checkpoints_table

_CONVOLUTIONS = 13  # of VGG16
_VIEWS = {"fresh": "newly augmented views in every epoch", "stored": "the search's augmented views"}


def retraining_sections(
    retraining: RetrainingRecord, scratch: ScratchRecord | None
) -> list[Section]:
    """Learning curves of both phases, and the test scores before and after each."""
    test = retraining.test
    table = Table("checkpoints", "Loss in nats; 95 % Wilson intervals.", checkpoints_table(test))
    text = f"Scores on the same {counted(test.images, 'test image')} before and after each phase."
    return [
        _learning_curves(retraining, scratch),
        Section("checkpoints", "Checkpoints", [text, table]),
    ]


def model_section(data: ReportData) -> list[Section]:
    """The layers of the retrained model, and how many parameters each phase trains."""
    if data.retraining is None or not data.model_summary:
        return []
    elements: list[Element] = [Code(data.model_summary)]
    if data.illustrations is not None and (path := data.illustrations / "base.txt").exists():
        backbone = Code(path.read_text(encoding="utf-8"))
        elements = [
            "The base model, VGG16 without its top:",
            backbone,
            "The whole network:",
            *elements,
        ]
    counts = data.retraining.parameters.items()
    rows = [{"phase": phase.replace("_", " "), **asdict(numbers)} for phase, numbers in counts]
    caption = f"Parameters by phase; the base model has {data.retraining.backbone_parameters:,}."
    elements.append(Table("parameters", caption, pd.DataFrame(rows)))
    return [Section("model", "Model", elements)]


def transfer_measures(curve: Curve) -> pd.DataFrame:
    """Start, slope and asymptote of the validation curves.

    Columns: measure, start (after the first epoch), slope (change per epoch over phase 1; blank
    if it has one epoch), asymptote (mean of the last three epochs).

    Source: Torrey and Shavlik (2010), "Transfer learning".
    """
    rows = []
    for measure in ("val_accuracy", "val_loss"):
        values = curve.values(measure)
        head = [getattr(epoch, measure) for epoch in curve.epochs if epoch.phase == 1]
        slope = (head[-1] - head[0]) / (len(head) - 1) if len(head) > 1 else np.nan
        rows.append((OBJECTIVES[measure].label, values[0], slope, np.mean(values[-3:])))
    return pd.DataFrame(rows, columns=["measure", "start", "slope", "asymptote"])


def compared_measures(pretrained: Curve, scratch: Curve) -> pd.DataFrame:
    """The transfer measures with pretrained and with random weights, and their difference.

    Columns: measure, weights (pretrained, random, difference), and those of `transfer_measures`.
    """
    first, second = transfer_measures(pretrained), transfer_measures(scratch)
    columns = ["start", "slope", "asymptote"]
    difference = first.assign(**{name: first[name] - second[name] for name in columns})
    parts = {"pretrained": first, "random": second, "difference": difference}
    table = pd.concat([part.assign(weights=name) for name, part in parts.items()])
    ordered = table.sort_values("measure", kind="stable", ignore_index=True)
    return ordered[["measure", "weights", *columns]]


def _learning_curves(retraining: RetrainingRecord, scratch: ScratchRecord | None) -> Section:
    curve = Curve("pretrained", retraining.curve, retraining.best_epoch)
    curves, measures = [curve], transfer_measures(curve)
    if scratch is not None:
        curves.append(Curve("random", scratch.curve, scratch.best_epoch))
        measures = compared_measures(*curves)
    dashed = "; the dashed line is the start of fine-tuning" if curve.fine_tuning() else ""
    plots = [
        Plot(
            f"training-{measure}",
            f"{title} of the retraining{dashed}.",
            curves_table(curves, "weights"),
            partial(_draw, measure=measure),
        )
        for measure, title in MEASURES.items()
    ]
    caption = "Start, slope (per epoch of phase 1) and asymptote of the validation curves."
    text = _description(retraining, curve, compared=scratch is not None)
    elements: list[Element] = [text, Plots(plots), Table("transfer", caption, measures)]
    return Section("training", "Retraining", elements)


def _description(retraining: RetrainingRecord, curve: Curve, *, compared: bool) -> str:
    phase_2 = (
        "phase 2 fine-tunes its top layers together with the head at a low learning rate."
        if curve.fine_tuning()
        else "there is no phase 2."
    )
    text = (
        f"Trial {retraining.trial} was retrained for {counted(retraining.epochs, 'epoch')} on "
        f"{_VIEWS[retraining.views]}. Phase 1 trains the head on the frozen base model; {phase_2} "
        f"Epoch {retraining.best_epoch} is the best epoch; its weights are the retrained model."
    )
    if not compared:
        return text
    frozen = _CONVOLUTIONS - int(retraining.hyperparameters.get("unfreeze_depth", 0))
    return (
        f"{text} With random weights, the same recipe freezes {frozen} of the {_CONVOLUTIONS} "
        "convolution layers at their random initialization."
    )


def _draw(table: pd.DataFrame, *, measure: Measure) -> Figure:
    return draw_measure(read_curves(table), measure=measure)
