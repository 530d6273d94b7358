"""Figures of a study. Each is collected as plain numbers first, then drawn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from sklearn.metrics import ConfusionMatrixDisplay

from concrete_study.datasets.files import replacing
from concrete_study.results.formats import counted
from concrete_study.results.objectives import find_objective
from concrete_study.results.records import Epoch, TestReport, TrialRecord
from concrete_study.results.trials import rank, trial_order

TRAIN, VALIDATION, QUIET, INK, GRID = "#4878a8", "#d1603d", "#b9c0c7", "#333a42", "#e6e9ec"

Measure = Literal["loss", "accuracy"]
MEASURES: dict[Measure, str] = {"loss": "Loss (nats)", "accuracy": "Accuracy"}


class LearningCurves(NamedTuple):
    """A training's curves; epochs count from 1 through both phases, losses are in nats."""

    epochs: list[int]
    loss: list[float]
    val_loss: list[float]
    accuracy: list[float]
    val_accuracy: list[float]
    second_phase: int | None  # its first epoch, None if there is no phase 2
    selected: int | None  # the epoch whose weights were kept


class TrialCurve(NamedTuple):
    """One trial's objective on the validation images, epoch by epoch from 1."""

    trial: str
    epochs: list[int]
    values: list[float]


class Rung(NamedTuple):
    """The trials of one epoch budget; `best` is the id of the one with the best score."""

    epochs: int
    curves: list[TrialCurve]
    best: str | None


class Confusion(NamedTuple):
    """Counts of test images: rows are true classes, columns predicted ones."""

    classes: list[str]
    counts: list[list[int]]


def collect_learning_curves(
    curve: Sequence[Epoch], *, selected: int | None = None
) -> LearningCurves:
    """The curves of one training.

    Args:
        curve: Its epochs in order; may be empty.
        selected: The epoch whose weights were kept.
    """
    return LearningCurves(
        epochs=[epoch.epoch for epoch in curve],
        loss=[epoch.loss for epoch in curve],
        val_loss=[epoch.val_loss for epoch in curve],
        accuracy=[epoch.accuracy for epoch in curve],
        val_accuracy=[epoch.val_accuracy for epoch in curve],
        second_phase=min((epoch.epoch for epoch in curve if epoch.phase == 2), default=None),
        selected=selected,
    )


def collect_rungs(records: Sequence[TrialRecord], *, objective: str) -> list[Rung]:
    """The validation curves of all trials that have one, by rung, the lowest rung first.

    Raises:
        UsageError: If the objective is unknown.
    """
    find_objective(objective)
    rungs = []
    for epochs in sorted({record.epochs for record in records if record.curve}):
        there = [record for record in records if record.epochs == epochs and record.curve]
        best = next((record.trial for record in rank(there, objective=objective)), None)
        curves = [
            TrialCurve(
                record.trial,
                [epoch.epoch for epoch in record.curve],
                [getattr(epoch, objective) for epoch in record.curve],
            )
            for record in sorted(there, key=lambda record: trial_order(record.trial))
        ]
        rungs.append(Rung(epochs, curves, best))
    return rungs


def collect_confusion(test: TestReport) -> Confusion:
    """The confusion matrix of what `evaluate` returned."""
    return Confusion(test.classes, test.confusion_matrix)


def draw_learning_curves(curves: LearningCurves) -> Figure:
    """Loss and accuracy side by side, with the change of phase and the kept epoch marked."""
    figure = new_figure(10, 4)
    for place, measure in enumerate(MEASURES, start=1):
        draw_learning_curve(figure.add_subplot(1, 2, place), curves, measure)
    return figure


def draw_learning_curve(axes: Axes, curves: LearningCurves, measure: Measure) -> None:
    """One measure, with the change of phase and the kept epoch marked."""
    train, validation = getattr(curves, measure), getattr(curves, f"val_{measure}")
    _epoch_axes(axes, MEASURES[measure], pad=18)
    axes.plot(curves.epochs, validation, "o-", ms=4, color=VALIDATION, label="validation")
    # Dashed and on top: where the curves run together, both are seen.
    axes.plot(curves.epochs, train, "o--", ms=3, color=TRAIN, label="training")
    _mark_phases(axes, curves)
    if curves.selected in curves.epochs:
        kept = validation[curves.epochs.index(curves.selected)]
        axes.plot(
            curves.selected, kept, "o", ms=10, mfc="none", mec=INK, mew=1.5, label="kept epoch"
        )
    axes.legend(frameon=False)


def draw_rungs(rungs: Sequence[Rung], *, objective: str) -> Figure:
    """One panel per rung with every trial's curve, the best trial of the rung in colour."""
    figure = new_figure(max(4.0, 3.4 * len(rungs)), 3.8)
    first: Axes | None = None
    for place, rung in enumerate(rungs, start=1):
        axes = figure.add_subplot(1, len(rungs), place, sharey=first)
        first = first or axes
        count = counted(len(rung.curves), "trial")
        _epoch_axes(axes, f"Rung of {counted(rung.epochs, 'epoch')}: {count}")
        for curve in sorted(rung.curves, key=lambda curve: curve.trial == rung.best):
            is_best = curve.trial == rung.best
            axes.plot(
                curve.epochs,
                curve.values,
                "o-",
                ms=4 if is_best else 2.5,
                lw=2 if is_best else 1,
                color=VALIDATION if is_best else QUIET,
                label=f"best: {curve.trial}" if is_best else None,
            )
        if rung.best is not None:
            axes.legend(frameon=False)
    if first is not None:
        first.set_ylabel(objective)
        if objective == "val_loss":  # a diverged trial would flatten all others
            log_losses(first)
    return figure


def draw_confusion(confusion: Confusion) -> Figure:
    """The counts as a matrix, shaded by the share of the true class."""
    size = len(confusion.classes)
    side = max(4.2, 1.8 + 0.75 * size)
    figure = new_figure(side + 0.6, side)
    axes = figure.add_subplot()
    counts = np.array(confusion.counts)
    # Shares, not counts, choose the colour: a large class would leave a small one white.
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    display = ConfusionMatrixDisplay(shares, display_labels=confusion.classes)
    long = max(map(len, confusion.classes)) * size > 40
    display.plot(
        ax=axes,
        cmap="Blues",
        colorbar=False,
        include_values=True,
        xticks_rotation=45 if long else "horizontal",
        im_kw={"vmin": 0, "vmax": 1},
    )
    for text, count in zip(display.text_.ravel(), counts.ravel(), strict=True):
        text.set_text(str(count))
        text.set_fontsize(15 if size <= 4 else 10)
        text.set_alpha(1.0 if count else 0.35)
    if long:
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(f"{counts.sum()} test images", fontsize=11, color=INK)
    axes.spines[:].set_visible(False)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure atomically, in the format of the path's suffix (PNG, SVG or PDF)."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip("."), dpi=150)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    # A Figure of its own, not pyplot's: no global state, no window, nothing left open.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: Axes, title: str, *, pad: float = 6) -> None:
    """Takes the frame off, and puts a quiet grid and a title on."""
    axes.set_title(title, loc="left", pad=pad, fontsize=11, color=INK)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def log_losses(axes: Axes) -> None:
    """Puts losses on a logarithmic axis with plain numbers, of few decades at 1, 2 and 5."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _epoch_axes(axes: Axes, title: str, *, pad: float = 6) -> None:
    plain_axes(axes, title, pad=pad)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _mark_phases(axes: Axes, curves: LearningCurves) -> None:
    if curves.second_phase is None:
        return
    border = curves.second_phase - 0.5
    axes.axvline(border, color=INK, linestyle="--", linewidth=1)
    # Above the frame, where neither a curve nor the legend can lie under the words.
    above = axes.get_xaxis_transform()
    for text, side, away in (("head only", "right", -4), ("fine-tuning", "left", 4)):
        axes.annotate(
            text,
            (border, 1.01),
            xycoords=above,
            xytext=(away, 0),
            textcoords="offset points",
            ha=side,
            color=INK,
            fontsize=8,
        )
