"""Figures of the test. Each is drawn from its numbers alone, by scikit-learn's displays."""

from typing import Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay

from concrete_study.results.figures import (
    INK,
    TRAIN,
    VALIDATION,
    Confusion,
    LearningCurves,
    Measure,
    draw_confusion,
    draw_learning_curve,
    log_losses,
    new_figure,
    plain_axes,
)
from concrete_study.results.report.scores import average_precision, roc_area
from concrete_study.results.report.search_figures import PANEL

_Corner = Literal["lower right", "lower left", "upper left"]
COLOURS = (VALIDATION, TRAIN, "#4f9a6b", "#8f6bb3", "#b58a2c", "#7a858f")


def draw_learning(numbers: pd.DataFrame, *, measure: Measure) -> Figure:
    """One measure over both phases of the retraining.

    Args:
        numbers: epoch, phase, loss, accuracy, val_loss, val_accuracy, kept (one epoch is); and
            val_loss_scratch and val_accuracy_scratch, if the recipe was also run from random
            weights.
        measure: loss or accuracy.
    """
    second = numbers.loc[numbers["phase"] == 2, "epoch"]
    kept = numbers.loc[numbers["best"], "epoch"]
    figure = new_figure(*PANEL)
    curves = LearningCurves(
        epochs=numbers["epoch"].tolist(),
        loss=numbers["loss"].tolist(),
        val_loss=numbers["val_loss"].tolist(),
        accuracy=numbers["accuracy"].tolist(),
        val_accuracy=numbers["val_accuracy"].tolist(),
        second_phase=int(second.min()) if len(second) else None,
        selected=int(kept.iloc[0]) if len(kept) else None,
    )
    axes = figure.add_subplot()
    draw_learning_curve(axes, curves, measure)
    beside = f"val_{measure}_scratch"
    if beside in numbers:
        label = "validation, from random weights"
        axes.plot(numbers["epoch"], numbers[beside], "s:", ms=4, color=INK, label=label)
        if measure == "loss":  # random weights begin at losses that would flatten all others
            log_losses(axes)
        # Below: between two trainings no corner is free of curves for sure.
        if (within := axes.get_legend()) is not None:
            within.remove()
        figure.legend(frameon=False, loc="outside lower center", ncols=2)
    return figure


def draw_matrix(counts: pd.DataFrame) -> Figure:
    """The confusion matrix.

    Args:
        counts: As `results.report.scores.confusion_table` gives it.
    """
    rows = counts.iloc[:, 1:].to_numpy().tolist()
    return draw_confusion(Confusion([str(name) for name in counts["true"]], rows))


def draw_roc(points: pd.DataFrame) -> Figure:
    """The receiver operating characteristic of each sought class.

    Args:
        points: As `results.report.scores.roc_points` gives them.
    """
    figure, axes = _square("Receiver operating characteristic")
    for number, (name, curve) in enumerate(points.groupby("class", sort=False)):
        false, true = curve["false_positive_rate"], curve["true_positive_rate"]
        RocCurveDisplay(fpr=false.to_numpy(), tpr=true.to_numpy()).plot(
            ax=axes,
            curve_kwargs={
                "color": COLOURS[number % len(COLOURS)],
                "label": f"{name}: area {roc_area(curve):.4f}",
            },
        )
    axes.plot([0, 1], [0, 1], "--", color=INK, lw=1, label="by chance")
    _finish(axes, "false alarms, share of all others", "found, share of the class", "lower right")
    return figure


def draw_precision_recall(points: pd.DataFrame) -> Figure:
    """Precision over recall of each sought class.

    Args:
        points: As `results.report.scores.precision_recall_points` gives them.
    """
    figure, axes = _square("Precision and recall")
    for number, (name, curve) in enumerate(points.groupby("class", sort=False)):
        display = PrecisionRecallDisplay(
            precision=curve["precision"].to_numpy(), recall=curve["recall"].to_numpy()
        )
        display.plot(
            ax=axes,
            curve_kwargs={
                "color": COLOURS[number % len(COLOURS)],
                "label": f"{name}: average precision {average_precision(curve):.4f}",
            },
        )
    x, y = "recall: found, share of the class", "precision: right, share of the found"
    _finish(axes, x, y, "lower left")
    return figure


def draw_calibration(bins: pd.DataFrame) -> Figure:
    """What the network said against what was, with the number of images at each point.

    Args:
        bins: As `results.report.scores.calibration` gives them.
    """
    figure, axes = _square("Calibration")
    said, share = bins["probability"].to_numpy(), bins["share"].to_numpy()
    display = CalibrationDisplay(prob_true=share, prob_pred=said, y_prob=said)
    display.plot(ax=axes, ref_line=True, color=TRAIN, marker="o", name="observed")
    reference = axes.lines[0]
    reference.set(color=INK, linewidth=1, linestyle="--")
    reference.set_label("perfect")
    axes.vlines(said, bins["share_low"], bins["share_high"], color=TRAIN, lw=1)
    for x, y, count in zip(said, share, bins["images"], strict=True):
        right = x > 0.85
        axes.annotate(
            f"{count}",
            (x, y),
            xytext=(-8 if right else 8, -3),  # beside the diagonal, not on it
            textcoords="offset points",
            ha="right" if right else "left",
            fontsize=8,
            color=INK,
        )
    _finish(axes, "said: mean probability", "was: observed share", "upper left")
    return figure


def _square(title: str) -> tuple[Figure, Axes]:
    figure = new_figure(4.2, 4.2)
    axes = figure.add_subplot()
    plain_axes(axes, title)
    axes.set_aspect("equal")
    return figure, axes


def _finish(axes: Axes, x: str, y: str, legend: _Corner) -> None:
    # scikit-learn's displays end at 1, where half the width of a line would be cut off.
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y)
    axes.legend(frameon=False, loc=legend)
