"""Figures of the test. Each is drawn from its table alone."""

from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from concrete_study.results.figures import INK, TRAIN, colour, new_figure, new_panel

_Corner = Literal["lower right", "lower left", "upper left"]
_SQUARE = (4.2, 4.2)


def draw_confusion(counts: pd.DataFrame) -> Figure:
    """The matrix of `results.evaluation.confusion_table`, shaded by shares of the true class."""
    classes, matrix = [str(name) for name in counts["true"]], counts.iloc[:, 1:].to_numpy()
    size = len(classes)
    side = max(4.2, 1.8 + 0.75 * size)
    figure = new_figure(side + 0.6, side)
    axes = figure.add_subplot()
    # Shares, not counts, choose the colour: a large class would leave a small one white.
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    display = ConfusionMatrixDisplay(shares, display_labels=classes)
    display.plot(ax=axes, cmap="Blues", colorbar=False, im_kw={"vmin": 0, "vmax": 1})
    for text, count in zip(display.text_.ravel(), matrix.ravel(), strict=True):
        text.set(text=str(count), fontsize=15 if size <= 4 else 10, alpha=1.0 if count else 0.35)
    if max(map(len, classes)) * size > 40:
        axes.set_xticks(range(size), classes, rotation=45, ha="right")
    axes.set(xlabel="Predicted class", ylabel="True class")
    axes.set_title(f"{matrix.sum()} test images", fontsize=11, color=INK)
    axes.spines[:].set_visible(False)
    return figure


def draw_roc(points: pd.DataFrame) -> Figure:
    """The ROC curves that `results.report.scores.roc_points` returns."""
    figure, axes = new_panel("ROC curve", _SQUARE)
    for number, (name, curve) in enumerate(points.groupby("class", sort=False)):
        label = f"{name} (AUC = {curve['roc_auc'].iloc[0]:.4f})"
        rates = curve["false_positive_rate"], curve["true_positive_rate"]
        axes.plot(*rates, color=colour(number), label=label)
    axes.plot([0, 1], [0, 1], "--", color=INK, lw=1, label="chance level (AUC = 0.5)")
    _finish(axes, "False positive rate", "True positive rate", "lower right")
    return figure


def draw_precision_recall(points: pd.DataFrame) -> Figure:
    """The curves that `results.report.scores.precision_recall_points` returns."""
    figure, axes = new_panel("Precision-recall curve", _SQUARE)
    for number, (name, curve) in enumerate(points.groupby("class", sort=False)):
        label = f"{name} (AP = {curve['average_precision'].iloc[0]:.4f})"
        rates = curve["recall"], curve["precision"]
        axes.plot(*rates, drawstyle="steps-post", color=colour(number), label=label)
    _finish(axes, "Recall", "Precision", "lower left")
    return figure


def draw_calibration(bins: pd.DataFrame) -> Figure:
    """The reliability diagram of `results.report.scores.calibration`, with images per point."""
    figure, axes = new_panel("Reliability diagram", _SQUARE)
    mean, fraction = bins["mean_predicted_probability"], bins["fraction_of_positives"]
    axes.plot([0, 1], [0, 1], "--", color=INK, lw=1, label="perfectly calibrated")
    axes.plot(mean, fraction, "o-", color=TRAIN, label="model")
    axes.vlines(mean, bins["fraction_low"], bins["fraction_high"], color=TRAIN, lw=1)
    for x, y, count in zip(mean, fraction, bins["images"], strict=True):
        side: Literal["left", "right"] = "right" if x > 0.85 else "left"
        offset = -8 if side == "right" else 8
        # Next to the diagonal, not on it.
        axes.annotate(
            f"{count}",
            (x, y),
            xytext=(offset, -3),
            textcoords="offset points",
            ha=side,
            fontsize=8,
            color=INK,
        )
    _finish(axes, "Mean predicted probability", "Fraction of positives", "upper left")
    return figure


def _finish(axes: Axes, x: str, y: str, corner: _Corner) -> None:
    axes.set_aspect("equal")
    # At limits of 0 and 1, half the width of a line would be cut off.
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y)
    axes.legend(frameon=False, loc=corner)
