"""Learning curves of trials, of the retraining and of several studies: collected, then drawn."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from msgspec.structs import asdict

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


class Curve(NamedTuple):
    """One training, epoch by epoch.

    Attributes:
        name: The trial, the study, or the weights that the training started from.
        epochs: In order, through both phases; may be empty.
        best_epoch: The epoch with the best objective; None for a failed trial.
    """

    name: str
    epochs: list[Epoch]
    best_epoch: int | None = None

    def numbers(self) -> list[int]:
        """The epochs' numbers, from 1."""
        return [epoch.epoch for epoch in self.epochs]

    def values(self, metric: str) -> list[float]:
        """A metric, a field of `Epoch`, in every epoch."""
        return [getattr(epoch, metric) for epoch in self.epochs]

    def fine_tuning(self) -> int | None:
        """The first epoch of phase 2; None if there is none."""
        return min((epoch.epoch for epoch in self.epochs if epoch.phase == 2), default=None)


def trial_curves(records: Sequence[TrialRecord]) -> dict[int, list[Curve]]:
    """The curves of all trials that have one, by rung, the lowest rung first."""
    drawn = sorted(
        (record for record in records if record.curve),
        key=lambda record: (record.epochs, trial_order(record.trial)),
    )
    rungs: dict[int, list[Curve]] = {}
    for record in drawn:
        best = record.best_epoch if record.status == "completed" else None
        rungs.setdefault(record.epochs, []).append(Curve(record.trial, record.curve, best))
    return rungs


def best_curve(curves: Sequence[Curve], objective: Objective) -> Curve | None:
    """The curve with the best value at its best epoch; the first of equal ones."""
    scored = [
        (objective.cost(value), number)
        for number, curve in enumerate(curves)
        for epoch, value in zip(curve.numbers(), curve.values(objective.name), strict=True)
        if epoch == curve.best_epoch and math.isfinite(value)
    ]
    return curves[min(scored)[1]] if scored else None


def curves_table(curves: Sequence[Curve], name: str) -> pd.DataFrame:
    """One row per curve and epoch.

    Columns: `name`, the fields of `Epoch`, best (whether it is the best epoch).
    """
    rows = [
        {name: curve.name, **asdict(epoch), "best": epoch.epoch == curve.best_epoch}
        for curve in curves
        for epoch in curve.epochs
    ]
    return pd.DataFrame(rows, columns=[name, *Epoch.__struct_fields__, "best"])


def read_curves(table: pd.DataFrame) -> list[Curve]:
    """The curves of a table of `curves_table`."""
    curves = []
    for name, rows in table.groupby(table.columns[0], sort=False):
        best = next(iter(rows.loc[rows["best"], "epoch"]), None)
        fields = rows[list(Epoch.__struct_fields__)].to_dict("records")
        epochs = [Epoch(**{str(key): value for key, value in row.items()}) for row in fields]
        curves.append(Curve(str(name), epochs, best))
    return curves


def draw_retraining(curve: Curve) -> Figure:
    """Loss and accuracy side by side, with the start of fine-tuning and the best epoch marked."""
    figure = new_figure(10, 4)
    for position, measure in enumerate(MEASURES, start=1):
        _draw_measure(figure.add_subplot(1, 2, position), curve, measure)
    return figure


def draw_measure(curves: Sequence[Curve], *, measure: Measure) -> Figure:
    """One measure of the retraining.

    Args:
        curves: The retraining, and the same recipe from random weights if it was run.
        measure: loss or accuracy.
    """
    figure, axes = new_panel(MEASURES[measure])
    _draw_measure(axes, curves[0], measure)
    for scratch in curves[1:]:
        values, label = scratch.values(f"val_{measure}"), "validation, random weights"
        axes.plot(scratch.numbers(), values, "s:", ms=4, color=INK, label=label)
        if measure == "loss":  # random weights begin at losses that would flatten all others
            log_losses(axes)
        # Below the axes: with two trainings no corner is free of curves for sure.
        if (legend := axes.get_legend()) is not None:
            legend.remove()
        figure.legend(frameon=False, loc="outside lower center", ncols=2)
    return figure


def draw_rungs(rungs: Mapping[int, Sequence[Curve]], objective: Objective) -> Figure:
    """One panel per rung with every trial's curve, the rung's best trial in colour."""
    figure = new_figure(max(4.4, 3.4 * len(rungs)), 3.2 if len(rungs) == 1 else 3.8)
    first: Axes | None = None
    for position, (rung, curves) in enumerate(rungs.items(), start=1):
        axes = figure.add_subplot(1, len(rungs), position, sharey=first)
        first = first or axes
        plain_axes(axes, f"Rung of {counted(rung, 'epoch')}: {counted(len(curves), 'trial')}")
        _count_epochs(axes)
        best = best_curve(curves, objective)
        for curve in sorted(curves, key=lambda curve: curve is best):
            ms, lw, shade = (4.0, 2.0, VALIDATION) if curve is best else (2.5, 1.0, QUIET)
            label = f"best: {curve.name}" if curve is best else None
            values = curve.values(objective.name)
            axes.plot(curve.numbers(), values, "o-", ms=ms, lw=lw, color=shade, label=label)
        if best is not None:
            axes.legend(frameon=False)
    if first is not None:
        first.set_ylabel(objective.label)
        if objective.direction == "min":  # a diverged trial would flatten all others
            log_losses(first)
    return figure


def draw_studies(curves: Sequence[Curve], *, measure: Measure) -> Figure:
    """The validation curves of several studies' retrainings."""
    title = MEASURES[measure]
    figure, axes = new_panel(f"Validation {title[0].lower()}{title[1:]}")
    _count_epochs(axes)
    for number, curve in enumerate(curves):
        shade, values = colour(number), curve.values(f"val_{measure}")
        axes.plot(curve.numbers(), values, "o-", ms=4, color=shade, label=curve.name)
        if (start := curve.fine_tuning()) is not None:
            axes.axvline(start - 0.5, color=shade, lw=0.8, ls=":")
    axes.set_xlabel("epoch (dotted: start of fine-tuning)")
    if measure == "loss":
        log_losses(axes)
    axes.legend(frameon=False)
    return figure


def _draw_measure(axes: Axes, curve: Curve, measure: Measure) -> None:
    numbers, validation = curve.numbers(), curve.values(f"val_{measure}")
    plain_axes(axes, MEASURES[measure], pad=18)
    _count_epochs(axes)
    axes.plot(numbers, validation, "o-", ms=4, color=VALIDATION, label="validation")
    # Dashed and on top: where the curves run together, both are seen.
    axes.plot(numbers, curve.values(measure), "o--", ms=3, color=TRAIN, label="training")
    _mark_fine_tuning(axes, curve)
    if curve.best_epoch in numbers:
        best = validation[numbers.index(curve.best_epoch)]
        axes.plot(
            curve.best_epoch, best, "o", ms=10, mfc="none", mec=INK, mew=1.5, label="best epoch"
        )
    axes.legend(frameon=False)


def _mark_fine_tuning(axes: Axes, curve: Curve) -> None:
    start = curve.fine_tuning()
    if start is None:
        return
    axes.axvline(start - 0.5, color=INK, linestyle="--", linewidth=1)
    # Above the frame, where neither a curve nor the legend can lie under the words.
    for text, side, offset in (("head only", "right", -4), ("fine-tuning", "left", 4)):
        axes.annotate(
            text,
            (start - 0.5, 1.01),
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
