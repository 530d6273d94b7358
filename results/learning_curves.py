"""Learning curves of trials, of the retraining and of several studies: tables, and their figures.

A table of curves has a row per curve and epoch: the curve's name in the first column, the fields of
`Epoch`, and `best`, whether it is the best epoch.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from msgspec.structs import asdict

from concrete_study.results.evaluation_records import RetrainingRecord, ScratchRecord
from concrete_study.results.figures import (
    INK,
    QUIET,
    TRAIN,
    VALIDATION,
    colour,
    log_losses,
    new_figure,
    new_panel,
    plain_axes,
)
from concrete_study.results.formats import counted
from concrete_study.results.objectives import Objective
from concrete_study.results.records import Epoch, TrialRecord
from concrete_study.results.trials import trial_order

Measure = Literal["loss", "accuracy"]
MEASURES: dict[Measure, str] = {"loss": "Loss (nats)", "accuracy": "Accuracy"}
Trained: TypeAlias = TrialRecord | RetrainingRecord | ScratchRecord


def curves_table(column: str, trained: Mapping[str, Trained]) -> pd.DataFrame:
    """The curves of some trainings by name, which is in `column`."""
    rows = [
        {column: name, **asdict(epoch), "best": epoch.epoch == record.best_epoch}
        for name, record in trained.items()
        for epoch in record.curve
    ]
    return pd.DataFrame(rows, columns=[column, *Epoch.__struct_fields__, "best"])


def trial_curves(records: Sequence[TrialRecord]) -> pd.DataFrame:
    """The curves of all trials, and their `rung`, the lowest rung first."""
    ordered = sorted(records, key=lambda record: (record.epochs, trial_order(record.trial)))
    known = {record.trial: record for record in ordered}
    table = curves_table("trial", known)
    return table.assign(rung=[known[trial].epochs for trial in table["trial"]])


def best_curve(curves: pd.DataFrame, objective: Objective) -> str | None:
    """The name of the curve with the best value at its best epoch; the first of equal ones."""
    scored = curves[curves["best"].astype(bool) & np.isfinite(curves[objective.name].astype(float))]
    if scored.empty:
        return None
    return str(scored.iloc[int(scored[objective.name].map(objective.cost).argmin()), 0])


def fine_tuning(curves: pd.DataFrame) -> float:
    """The first epoch of phase 2; NaN if there is none."""
    return float(curves.loc[curves["phase"] == 2, "epoch"].min())


def draw_retraining(curve: pd.DataFrame) -> Figure:
    """Loss and accuracy side by side, with the start of fine-tuning and the best epoch marked."""
    figure = new_figure(10, 4)
    for position, measure in enumerate(MEASURES, start=1):
        _draw_measure(figure.add_subplot(1, 2, position), curve, measure)
    return figure


def draw_measure(curves: pd.DataFrame, *, measure: Measure) -> Figure:
    """One measure of the retraining, and of the same recipe from random weights if it was run."""
    figure, axes = new_panel(MEASURES[measure])
    (_, retraining), *others = curves.groupby(curves.columns[0], sort=False)
    _draw_measure(axes, retraining, measure)
    for _, scratch in others:
        label = "validation, random weights"
        axes.plot(scratch["epoch"], scratch[f"val_{measure}"], "s:", ms=4, color=INK, label=label)
        if measure == "loss":  # random weights begin at losses that would flatten all others
            log_losses(axes)
        # Below the axes: with two trainings no corner is free of curves for sure.
        if (legend := axes.get_legend()) is not None:
            legend.remove()
        figure.legend(frameon=False, loc="outside lower center", ncols=2)
    return figure


def draw_rungs(curves: pd.DataFrame, *, objective: Objective) -> Figure:
    """One panel per rung with every trial's curve, the rung's best trial in colour.

    Args:
        curves: As `trial_curves` returns them.
        objective: The measure that is drawn.
    """
    rungs = curves.groupby("rung")
    figure = new_figure(max(4.4, 3.4 * len(rungs)), 3.2 if len(rungs) == 1 else 3.8)
    first: Axes | None = None
    for position, (rung, trials) in enumerate(rungs, start=1):
        axes = figure.add_subplot(1, len(rungs), position, sharey=first)
        first = first or axes
        count = counted(trials["trial"].nunique(), "trial")
        plain_axes(axes, f"Rung of {counted(int(str(rung)), 'epoch')}: {count}")
        _count_epochs(axes)
        best = best_curve(trials, objective)
        for name, steps in sorted(trials.groupby("trial", sort=False), key=lambda t: t[0] == best):
            ms, lw, shade, label = 2.5, 1.0, QUIET, None
            if name == best:
                ms, lw, shade, label = 4.0, 2.0, VALIDATION, f"best: {best}"
            values = steps[objective.name]
            axes.plot(steps["epoch"], values, "o-", ms=ms, lw=lw, color=shade, label=label)
        if best is not None:
            axes.legend(frameon=False)
    if first is not None:
        first.set_ylabel(objective.label)
        if objective.direction == "min":  # a diverged trial would flatten all others
            log_losses(first)
    return figure


def draw_studies(curves: pd.DataFrame, *, measure: Measure) -> Figure:
    """The validation curves of several studies' retrainings."""
    title = MEASURES[measure]
    figure, axes = new_panel(f"Validation {title[0].lower()}{title[1:]}")
    _count_epochs(axes)
    for number, (name, curve) in enumerate(curves.groupby("study", sort=False)):
        shade, values = colour(number), curve[f"val_{measure}"]
        axes.plot(curve["epoch"], values, "o-", ms=4, color=shade, label=name)
        axes.axvline(fine_tuning(curve) - 0.5, color=shade, lw=0.8, ls=":")
    axes.set_xlabel("epoch (dotted: start of fine-tuning)")
    if measure == "loss":
        log_losses(axes)
    axes.legend(frameon=False)
    return figure


def _draw_measure(axes: Axes, curve: pd.DataFrame, measure: Measure) -> None:
    plain_axes(axes, MEASURES[measure], pad=18)
    _count_epochs(axes)
    validation, training = curve[f"val_{measure}"], curve[measure]
    axes.plot(curve["epoch"], validation, "o-", ms=4, color=VALIDATION, label="validation")
    # Dashed and on top: where the curves run together, both are seen.
    axes.plot(curve["epoch"], training, "o--", ms=3, color=TRAIN, label="training")
    if np.isfinite(start := fine_tuning(curve)):
        _mark_fine_tuning(axes, start - 0.5)
    best = curve[curve["best"].astype(bool)]
    if len(best):
        value, label = best[f"val_{measure}"], "best epoch"
        axes.plot(best["epoch"], value, "o", ms=10, mfc="none", mec=INK, mew=1.5, label=label)
    axes.legend(frameon=False)


def _mark_fine_tuning(axes: Axes, start: float) -> None:
    axes.axvline(start, color=INK, linestyle="--", linewidth=1)
    # Above the frame, where neither a curve nor the legend can lie under the words.
    for text, side, offset in (("head only", "right", -4), ("fine-tuning", "left", 4)):
        axes.annotate(
            text,
            (start, 1.01),
            xycoords=axes.get_xaxis_transform(),
            xytext=(offset, 0),
            textcoords="offset points",
            ha=side,
            color=INK,
            fontsize=8,
        )


def _count_epochs(axes: Axes) -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
