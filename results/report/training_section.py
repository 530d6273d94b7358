"""The section on the retraining: both phases' curves, and what transfer learning brought."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from concrete_study.results.figures import MEASURES
from concrete_study.results.formats import counted
from concrete_study.results.report import score_figures
from concrete_study.results.report.elements import (
    Block,
    Drawing,
    Drawings,
    Paragraph,
    Section,
    Table,
)


def training_numbers(metrics: dict[str, Any]) -> pd.DataFrame:
    """The retraining epoch by epoch.

    Columns: epoch (from 1), phase, loss, accuracy, val_loss, val_accuracy, val_macro_f1, kept.
    """
    frame = pd.DataFrame(metrics["curve"])
    # JSON has no NaN: a diverged epoch is null there.
    numbers = frame.columns.difference(["epoch", "phase"])
    frame[numbers] = frame[numbers].astype(np.float64)
    return frame.assign(kept=frame["epoch"] == metrics["best_epoch"])


def transfer_readings(numbers: pd.DataFrame) -> pd.DataFrame:
    """Where a curve starts, how it climbs and where it ends: the three marks of transfer.

    Columns: measure, start (after the first epoch), slope (change per epoch over phase 1, first
    to last epoch; blank if it has one), asymptote (mean of the last three epochs).

    BatchSource: Torrey and Shavlik (2010), "Transfer learning".
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


def training_section(metrics: dict[str, Any], scratch: dict[str, Any] | None) -> Section:
    """Both phases of the retraining, beside the same recipe from random weights if it was run.

    Args:
        metrics: best/metrics.json.
        scratch: best/scratch.json.
    """
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
            partial(score_figures.draw_learning, measure=measure),
        )
        for measure, title in MEASURES.items()
    ]
    text = (
        f"Trial {metrics['trial']}, trained once more: {counted(metrics['epochs'], 'epoch')} on "
        f"{metrics['trained_on']}; epoch {metrics['best_epoch']} was kept. Phase 1 trains the "
        "head on the frozen base"
        + (
            "; phase 2 trains the top of the base with it, at a low rate."
            if fine_tuned
            else ", and with no layer to unfreeze there is no phase 2."
        )
    )
    if scratch is not None:
        frozen = 13 - metrics["hyperparameters"].get("unfreeze_depth", 0)
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
