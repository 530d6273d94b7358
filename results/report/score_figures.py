"""Figures of the test. Each is drawn from its table alone, by scikit-learn's displays."""

from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay, RocCurveDisplay

from concrete_study.results.figures import INK, TRAIN, colour, new_figure, new_panel

_Corner = Literal["lower right", "lower left", "upper left"]
_SQUARE = (4.2, 4.2)


def draw_confusion(counts: pd.DataFrame) -> Figure:
    """The confusion matrix, shaded by the share of the true class.

    Args:
        counts: As `results.report.scores.confusion_table` returns it.
    """
    classes, matrix = [str(name) for name in counts["true"]], counts.iloc[:, 1:].to_numpy()
    size = len(classes)
    side = max(4.2, 1.8 + 0.75 * size)
    figure = new_figure(side + 0.6, side)
    axes = figure.add_subplot()
    # Shares, not counts, choose the colour: a large class would leave a small one white.
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    display = ConfusionMatrixDisplay(shares, display_labels=classes)
    long = max(map(len, classes)) * size > 40
    rotation = 45 if long else "horizontal"
    shading = {"vmin": 0, "vmax": 1}
    display.plot(ax=axes, cmap="Blues", colorbar=False, xticks_rotation=rotation, im_kw=shading)
    for text, count in zip(display.text_.ravel(), matrix.ravel(), strict=True):
        text.set(text=str(count), fontsize=15 if size <= 4 else 10, alpha=1.0 if count else 0.35)
    if long:
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
    axes.set(xlabel="Predicted class", ylabel="True class")
    axes.set_title(f"{matrix.sum()} test images", fontsize=11, color=INK)
    axes.spines[:].set_visible(False)
    return figure


def draw_roc(points: pd.DataFrame) -> Figure:
    """The ROC curve of each positive class.

    Args:
        points: As `results.report.scores.roc_points` returns them.
    """
    figure, axes = _square("ROC curve")
    for number, (name, curve) in enumerate(points.groupby("class", sort=False)):
        display = RocCurveDisplay(
            fpr=curve["false_positive_rate"].to_numpy(), tpr=curve["true_positive_rate"].to_numpy()
        )
        label = f"{name} (AUC = {curve['roc_auc'].iloc[0]:.4f})"
        display.plot(ax=axes, curve_kwargs={"color": colour(number), "label": label})
    axes.plot([0, 1], [0, 1], "--", color=INK, lw=1, label="chance level (AUC = 0.5)")
    _finish(axes, "False positive rate", "True positive rate", "lower right")
    return figure


def draw_precision_recall(points: pd.DataFrame) -> Figure:
    """The precision-recall curve of each positive class.

    Args:
        points: As `results.report.scores.precision_recall_points` returns them.
    """
    figure, axes = _square("Precision-recall curve")
    for number, (name, curve) in enumerate(points.groupby("class", sort=False)):
        display = PrecisionRecallDisplay(
            precision=curve["precision"].to_numpy(), recall=curve["recall"].to_numpy()
        )
        label = f"{name} (AP = {curve['average_precision'].iloc[0]:.4f})"
        display.plot(ax=axes, curve_kwargs={"color": colour(number), "label": label})
    _finish(axes, "Recall", "Precision", "lower left")
    return figure


def draw_calibration(bins: pd.DataFrame) -> Figure:
    """The reliability diagram, with the number of images at each point.

    Args:
        bins: As `results.report.scores.calibration` returns them.
    """
    figure, axes = _square("Reliability diagram")
    mean, fraction = bins["mean_predicted_probability"], bins["fraction_of_positives"]
    display = CalibrationDisplay(
        prob_true=fraction.to_numpy(), prob_pred=mean.to_numpy(), y_prob=mean.to_numpy()
    )
    display.plot(ax=axes, ref_line=True, color=TRAIN, marker="o", name="model")
    axes.lines[0].set(color=INK, linewidth=1, linestyle="--", label="perfectly calibrated")
    axes.vlines(mean, bins["fraction_low"], bins["fraction_high"], color=TRAIN, lw=1)
    for x, y, count in zip(mean, fraction, bins["images"], strict=True):
        right = x > 0.85
        axes.annotate(
            f"{count}",
            (x, y),
            xytext=(-8 if right else 8, -3),  # next to the diagonal, not on it
            textcoords="offset points",
            ha="right" if right else "left",
            fontsize=8,
            color=INK,
        )
    _finish(axes, "Mean predicted probability", "Fraction of positives", "upper left")
    return figure


def _square(title: str) -> tuple[Figure, Axes]:
    figure, axes = new_panel(title, _SQUARE)
    axes.set_aspect("equal")
    return figure, axes


def _finish(axes: Axes, x: str, y: str, legend: _Corner) -> None:
    # scikit-learn's displays end at 1, where half the width of a line would be cut off.
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y)
    axes.legend(frameon=False, loc=legend)
