"""Figures of a search. Each is drawn from its table alone, so its CSV is enough."""

from collections.abc import Collection
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from concrete_study.results.figures import (
    INK,
    QUIET,
    TRAIN,
    VALIDATION,
    colour,
    log_losses,
    new_figure,
    new_panel,
)
from concrete_study.results.hyperparameters import by_name
from concrete_study.results.objectives import OBJECTIVES, Objective

# With more distinct values a hyperparameter is drawn on a scale, not value by value.
_MOST_CATEGORIES = 8


def axis_label(column: str) -> str:
    """A hyperparameter's or a metric's name as axes have it."""
    known = OBJECTIVES.get(column) or by_name().get(column)
    return known.label if known else column.replace("_", " ")


def draw_bracket(trials: pd.DataFrame, *, bracket: int | None, objective: Objective) -> Figure:
    """The scores of one bracket's configurations over its rungs; without brackets, of all.

    Error bars are standard errors, where there are any.

    Args:
        trials: `results.report.trials.promotions`; all brackets, so that panels have equal limits.
        bracket: Which one; None draws all trials, of searches without brackets.
        objective: What the scores are.
    """
    scored = trials[trials["score"].notna()]
    rungs = sorted(scored["rung"].unique())
    own = scored if bracket is None else scored[scored["bracket"] == bracket]
    path = " → ".join(str(count) for count in own.groupby("rung").size())
    title = f"{path} trials" if bracket is None else f"Bracket {bracket}: {path} trials"
    figure, axes = new_panel(title)
    top = own[own["rung"] == own["rung"].max()]
    best = top.loc[top["score"].map(objective.cost).idxmin(), "configuration"]
    for name, steps in own.groupby("configuration"):
        shade, lw, zorder, label = TRAIN if len(steps) > 1 else QUIET, 1.2, 2, None
        if name == best:
            shade, lw, zorder, label = VALIDATION, 2, 3, f"best: {steps['trial'].iloc[-1]}"
        at = [rungs.index(rung) for rung in steps["rung"]]
        axes.plot(at, steps["score"], "o-", c=shade, ms=5, lw=lw, zorder=zorder, label=label)
        if (errors := steps["standard_error"]).notna().any():
            axes.errorbar(at, steps["score"], errors, fmt="none", ecolor=shade, zorder=zorder)
    _score_axis(axes, objective, scored["score"])
    axes.set_xlim(-0.4, len(rungs) - 0.6)
    axes.set_xticks(range(len(rungs)), [str(rung) for rung in rungs])
    axes.set_xlabel("rung (epochs)")
    axes.legend(frameon=False)
    return figure


def draw_importance(table: pd.DataFrame) -> Figure:
    """The rank correlations of `results.report.importance.importance`, with their intervals."""
    shown = table[table["correlation"].notna()][::-1]
    figure, axes = new_panel("Rank correlation with the score", (5.2, 1.2 + 0.42 * len(shown)))
    axes.grid(visible=False)
    axes.axvline(0, color=INK, lw=1)
    rows = np.arange(len(shown))
    middle = shown["correlation"].to_numpy()
    # A percentile interval of so few trials may leave the estimate itself outside.
    left = np.clip(middle - shown["low"].to_numpy(), 0, None)
    right = np.clip(shown["high"].to_numpy() - middle, 0, None)
    axes.errorbar(middle, rows, xerr=[left, right], fmt="o", color=TRAIN, capsize=3, ms=7)
    axes.set_yticks(rows, [axis_label(name) for name in shown["hyperparameter"]])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlim(-1.05, 1.05)
    axes.set_xticks([-1, -0.5, 0, 0.5, 1])
    axes.set_xlabel("lower values better  ←  0  →  higher values better")
    return figure


def draw_slice(
    trials: pd.DataFrame, *, hyperparameter: str, objective: Objective, log: bool = False
) -> Figure:
    """One hyperparameter against the score, one point per trial, the best one in colour.

    Args:
        trials: As `results.report.trials.on_rung` returns them, best first.
        hyperparameter: Which column.
        objective: The column of the score.
        log: Whether the hyperparameter has a logarithmic scale.
    """
    figure, axes = new_panel(axis_label(hyperparameter).capitalize())
    shown = trials[trials[hyperparameter].notna()]
    if levels := levels_of(shown[hyperparameter]):
        known = list(levels)
        positions = np.array([known.index(value) for value in shown[hyperparameter]], np.float64)
        axes.set_xticks(range(len(levels)), list(levels.values()))
        axes.set_xlim(-0.5, len(levels) - 0.5)
    else:
        positions = shown[hyperparameter].to_numpy(np.float64)
        if log:
            axes.set_xscale("log")
    best = (shown.index == trials.index[0]).astype(bool)
    scores = shown[objective.name].to_numpy(np.float64)
    axes.plot(positions[~best], scores[~best], "o", color=TRAIN, ms=6, alpha=0.8)
    axes.plot(positions[best], scores[best], "o", color=VALIDATION, ms=9, label="best")
    _score_axis(axes, objective, trials[objective.name])
    axes.set_xlabel(axis_label(hyperparameter))
    if best.any():
        axes.legend(frameon=False)
    return figure


def draw_parallel(trials: pd.DataFrame, *, log: Collection[str] = ()) -> Figure:
    """Static parallel coordinates, one line per trial, the best one in colour.

    A line skips a hyperparameter that its trial does not have.

    Args:
        trials: As `results.report.trials.on_rung` returns them, best first.
        log: The columns with a logarithmic scale.
    """
    names = [name for name in trials.columns if name != "trial"]
    figure = new_figure(9, 3.6)
    axes = figure.add_subplot()
    heights = [_mark_axis(axes, n, trials[name], log=name in log) for n, name in enumerate(names)]
    for row, line in reversed(list(enumerate(np.column_stack(heights)))):
        there = np.flatnonzero(np.isfinite(line))
        shade, width, alpha = (VALIDATION, 2.4, 1.0) if row == 0 else (TRAIN, 1.0, 0.6)
        axes.plot(there, line[there], "-", color=shade, lw=width, alpha=alpha)
    axes.set_xticks(range(len(names)), [fill(axis_label(name), 13) for name in names])
    axes.tick_params(length=0)
    axes.set_yticks([])
    axes.set_xlim(-0.2, len(names) - 0.6)
    axes.set_ylim(-0.05, 1.05)
    axes.spines[:].set_visible(False)
    return figure


def draw_progress(reached: pd.DataFrame, *, objective: Objective) -> Figure:
    """The best score so far of several studies, `results.ranking.progress`, by time of trials."""
    figure, axes = new_panel(f"Best {objective.label} so far")
    for number, (name, steps) in enumerate(reached.groupby("study", sort=False)):
        axes.step(steps["seconds"], steps["best"], where="post", color=colour(number), label=name)
        axes.plot(steps["seconds"], steps["best"], "o", ms=4, color=colour(number))
    axes.set_xlabel("time of trials (s)")
    if objective.direction == "min":
        log_losses(axes)
    axes.legend(frameon=False)
    return figure


def levels_of(values: "pd.Series[Any]") -> dict[Any, str]:
    """The values of a hyperparameter that is drawn value by value, in their order, as texts.

    Those are names and few distinct integers; empty for a hyperparameter on a scale.
    """
    there = values.dropna()
    if isinstance(values.dtype, pd.CategoricalDtype):
        return {name: str(name) for name in values.cat.categories if (there == name).any()}
    if there.nunique() > _MOST_CATEGORIES or not (there == there.round()).all():
        return {}
    return {level: f"{level:g}" for level in sorted(there.unique())}


def _mark_axis(
    axes: Axes, number: int, values: "pd.Series[Any]", *, log: bool
) -> NDArray[np.float64]:
    """Draws one vertical axis; returns each value's height in 0..1, NaN where there is none."""
    if levels := levels_of(values):
        scale = {level: i / max(len(levels) - 1, 1) for i, level in enumerate(levels)}
        heights = np.array([scale.get(value, np.nan) for value in values.astype(object)])
        marks = {scale[level]: text for level, text in levels.items()}
    else:
        raw = values.to_numpy(np.float64, na_value=np.nan)
        scaled = np.log10(raw) if log else raw
        low, high = np.nanmin(scaled), np.nanmax(scaled)
        heights = (scaled - low) / (high - low or 1)
        marks = {0.0: f"{np.nanmin(raw):.2g}", 1.0: f"{np.nanmax(raw):.2g}"}
    axes.plot([number, number], [0, 1], color=INK, lw=1)
    for height, text in marks.items():
        behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1}
        axes.text(number + 0.05, height, text, va="center", fontsize=8, color=INK, bbox=behind)
    return heights


def _score_axis(axes: Axes, objective: Objective, scores: "pd.Series[Any]") -> None:
    """The same limits in every panel that shows these scores."""
    axes.set_ylabel(objective.label)
    low, high = float(scores.min()), float(scores.max())
    if objective.direction == "min" and low > 0:
        axes.set_ylim(low / 1.4, high * 1.4)
        log_losses(axes)
    else:
        margin = 0.06 * (high - low) or 0.01
        axes.set_ylim(low - margin, high + margin)
