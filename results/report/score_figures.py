"""Figures of the test. Each is drawn from its table alone."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from concrete_study.datasets.printing import one_line
from concrete_study.results.figures import (
    INK,
    QUIET,
    TRAIN,
    colour,
    new_figure,
    new_panel,
    plain_axes,
)
from concrete_study.results.report.scores import MANY_CLASSES, top_confusions

_Corner = Literal["lower right", "lower left", "upper left"]
_SQUARE = (4.2, 4.2)
LABELLED_CURVES = 5  # of many classes


def draw_confusion(counts: pd.DataFrame) -> Figure:
    """The matrix of `confusion_table`, shaded by shares of the true class.

    Of many classes, the most frequent confusions as bars.
    """
    if len(counts) >= MANY_CLASSES:
        return _draw_top_confusions(counts)
    classes, matrix = [_short(str(n)) for n in counts["true"]], counts.iloc[:, 1:].to_numpy()
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


def _draw_top_confusions(counts: pd.DataFrame) -> Figure:
    found = top_confusions(counts)
    labels = [
        _short(f"{true} → {other}") for true, other in found[["true", "predicted"]].to_numpy()
    ]
    figure = new_figure(7, 1.6 + 0.26 * max(len(found), 1))
    axes = figure.add_subplot()
    total = int(counts.iloc[:, 1:].to_numpy().sum())
    plain_axes(axes, f"Most frequent confusions of {len(counts)} classes, {total} test images")
    bars = axes.barh(range(len(found)), found["images"], color=TRAIN)
    axes.bar_label(bars, padding=3, color=INK)
    axes.set_yticks(range(len(found)), labels)
    axes.invert_yaxis()
    axes.set(xlabel="Images", ylabel="True → predicted class")
    return figure


def _short(text: str, most: int = 48) -> str:
    """A name as a figure shows it: on one line, and no formula to Matplotlib."""
    line = one_line(text)
    return (line if len(line) <= most else f"{line[: most - 1]}…").replace("$", r"\$")


def draw_roc(points: pd.DataFrame) -> Figure:
    """The ROC curves that `results.report.scores.roc_points` returns."""
    figure, axes = new_panel("ROC curve", _SQUARE)
    for name, curve, shade in _shaded(points, "roc_auc"):
        label = f"{_short(name)} (AUC = {curve['roc_auc'].iloc[0]:.4f})" if shade != QUIET else ""
        rates = curve["false_positive_rate"], curve["true_positive_rate"]
        axes.plot(*rates, color=shade, label=label)
    axes.plot([0, 1], [0, 1], "--", color=INK, lw=1, label="chance level (AUC = 0.5)")
    _finish(axes, "False positive rate", "True positive rate", "lower right")
    return figure


def _shaded(points: pd.DataFrame, area: str) -> Iterator[tuple[str, pd.DataFrame, str]]:
    """Each class with its curve and colour; of many, all are quiet but those of smallest area."""
    areas = points.groupby("class", sort=False)[area].first()
    most = LABELLED_CURVES if len(areas) >= MANY_CLASSES else len(areas)
    worst = set(areas.sort_values(kind="stable").index[:most])
    number = 0
    for name, curve in sorted(points.groupby("class", sort=False), key=lambda c: c[0] in worst):
        yield str(name), curve, colour(number) if name in worst else QUIET
        number += name in worst


def draw_precision_recall(points: pd.DataFrame) -> Figure:
    """The curves that `results.report.scores.precision_recall_points` returns."""
    figure, axes = new_panel("Precision-recall curve", _SQUARE)
    for name, curve, shade in _shaded(points, "average_precision"):
        area = f"AP = {curve['average_precision'].iloc[0]:.4f}"
        label = f"{_short(name)} ({area})" if shade != QUIET else ""
        rates = curve["recall"], curve["precision"]
        axes.plot(*rates, drawstyle="steps-post", color=shade, label=label)
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
