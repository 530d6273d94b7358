"""The sections on the retraining: its learning curves, the effect of transfer, the network."""

from functools import partial

import numpy as np
import pandas as pd
from msgspec.structs import asdict

from concrete_study.results.evaluation_records import RetrainingRecord
from concrete_study.results.formats import counted
from concrete_study.results.headlines import calibration_text
from concrete_study.results.learning_curves import MEASURES, curves_table, draw_measure, fine_tuning
from concrete_study.results.objectives import OBJECTIVES
from concrete_study.results.report.data import ReportData
from concrete_study.results.report.elements import Code, Element, Plot, Section, Table
from concrete_study.results.report.scores import checkpoints_table

_CONVOLUTIONS = 13  # of VGG16
_VIEWS = {"fresh": "newly augmented views in every epoch", "stored": "the search's augmented views"}


def retraining_sections(data: ReportData) -> list[Section]:
    """Learning curves of both phases, and the test scores before and after each."""
    if data.retraining is None:
        return []
    trained = {"pretrained": data.retraining, "random": data.scratch}
    curves = curves_table("weights", {name: one for name, one in trained.items() if one})
    fine_tuned = bool(np.isfinite(fine_tuning(curves)))
    dashed = "; the dashed line is the start of fine-tuning" if fine_tuned else ""
    plots = [
        Plot(
            f"training-{measure}",
            f"{title} of the retraining{dashed}.",
            curves,
            partial(draw_measure, measure=measure),
        )
        for measure, title in MEASURES.items()
    ]
    text = _description(data.retraining, fine_tuned=fine_tuned, compared=data.scratch is not None)
    caption = "Start, slope (per epoch of phase 1) and asymptote of the validation curves."
    transfer = Table("transfer", caption, transfer_measures(curves))
    test = data.retraining.test
    scored = f"Scores on the same {counted(test.images, 'test image')} before and after each phase."
    table = Table("checkpoints", "Loss in nats; 95 % Wilson intervals.", checkpoints_table(test))
    calibration = data.retraining.calibration
    fitted = [calibration_text(calibration)] if calibration else []
    return [
        Section("training", "Retraining", [text, plots, transfer]),
        Section("checkpoints", "Checkpoints", [scored, table, *fitted]),
    ]


def model_section(data: ReportData) -> list[Section]:
    """The layers of the retrained model, and how many parameters each phase trains."""
    if data.retraining is None or not data.model_summary:
        return []
    elements: list[Element] = [Code(data.model_summary)]
    if data.illustrations is not None and (path := data.illustrations / "base.txt").exists():
        base = Code(path.read_text(encoding="utf-8"))
        elements = ["The base model, VGG16 without its top:", base, "The whole network:", *elements]
    counts = data.retraining.parameters.items()
    rows = [{"phase": phase.replace("_", " "), **asdict(numbers)} for phase, numbers in counts]
    caption = f"Parameters by phase; the base model has {data.retraining.backbone_parameters:,}."
    elements.append(Table("parameters", caption, pd.DataFrame(rows)))
    return [Section("model", "Model", elements)]


def transfer_measures(curves: pd.DataFrame) -> pd.DataFrame:
    """Start, slope and asymptote of the validation curves; of two, also their difference.

    Columns: measure, weights, start (after the first epoch), slope (change per epoch over phase 1;
    blank if it has one epoch), asymptote (mean of the last three epochs).

    Source: Torrey and Shavlik (2010), "Transfer learning".
    """
    rows = []
    for measure in ("val_accuracy", "val_loss"):
        found = {}
        for name, curve in curves.groupby("weights", sort=False):
            values, head = curve[measure].tolist(), curve.loc[curve["phase"] == 1, measure].tolist()
            slope = (head[-1] - head[0]) / (len(head) - 1) if len(head) > 1 else np.nan
            found[name] = np.array([values[0], slope, np.mean(values[-3:])])
        if len(found) > 1:
            found["difference"] = found["pretrained"] - found["random"]
        rows += [(OBJECTIVES[measure].label, name, *row) for name, row in found.items()]
    return pd.DataFrame(rows, columns=["measure", "weights", "start", "slope", "asymptote"])


def _description(retraining: RetrainingRecord, *, fine_tuned: bool, compared: bool) -> str:
    phase_2 = (
        "phase 2 fine-tunes its top layers together with the head at a low learning rate."
        if fine_tuned
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
