"""Figures of a search. Each is drawn from its numbers alone, so its CSV is enough."""

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
    Rung,
    TrialCurve,
    draw_rungs,
    log_losses,
    new_figure,
    plain_axes,
)

PANEL = (4.4, 3.2)  # inches; a phone shows one, a page two side by side
# Above so many different values a setting is drawn on a scale, not value by value.
_MOST_CATEGORIES = 8


def draw_bracket(climbed: pd.DataFrame, *, bracket: int | None, objective: str) -> Figure:
    """The scores of one bracket's configurations over its rungs.

    Args:
        climbed: As `results.report.trials.climbs` gives it; all brackets, for common limits.
        bracket: Which one; None draws all trials, of searches without brackets.
        objective: Its name, for the axis.
    """
    scored = climbed[climbed["score"].notna()]
    rungs = sorted(scored["rung"].unique())
    place = {rung: number for number, rung in enumerate(rungs)}
    figure = new_figure(*PANEL)
    axes = figure.add_subplot()
    own = scored if bracket is None else scored[scored["bracket"] == bracket]
    counts = own.groupby("rung").size()
    path = " → ".join(str(count) for count in counts)
    plain_axes(axes, f"{path} trials" if bracket is None else f"Bracket {bracket}: {path} trials")
    top = own[own["rung"] == own["rung"].max()]
    low = objective == "val_loss"
    best = top.loc[top["score"].idxmin() if low else top["score"].idxmax(), "configuration"]
    for name, steps in own.groupby("configuration"):
        colour = VALIDATION if name == best else TRAIN if len(steps) > 1 else QUIET
        axes.plot(
            [place[rung] for rung in steps["rung"]],
            steps["score"],
            "o-",
            color=colour,
            ms=5,
            lw=2 if name == best else 1.2,
            zorder=3 if name == best else 2,
            label=f"best: {steps['trial'].iloc[-1]}" if name == best else None,
        )
    _score_axis(axes, objective, scored["score"])
    axes.set_xlim(-0.4, len(rungs) - 0.6)
    axes.set_xticks(range(len(rungs)), [str(rung) for rung in rungs])
    axes.set_xlabel("rung (epochs)")
    axes.legend(frameon=False)
    return figure


def draw_importance(table: pd.DataFrame) -> Figure:
    """Each hyperparameter's correlation with good scores, with its interval."""
    shown = table[table["correlation"].notna()][::-1]
    figure = new_figure(5.2, 1.2 + 0.42 * len(shown))
    axes = figure.add_subplot()
    plain_axes(axes, "Rank correlation with a good score")
    axes.grid(visible=False)
    axes.axvline(0, color=INK, lw=1)
    places = np.arange(len(shown))
    middle = shown["correlation"].to_numpy()
    # A percentile interval of so few trials may leave the estimate itself outside.
    left = np.clip(middle - shown["low"].to_numpy(), 0, None)
    right = np.clip(shown["high"].to_numpy() - middle, 0, None)
    axes.errorbar(
        middle, places, xerr=[left, right], fmt="o", color=TRAIN, ecolor=TRAIN, capsize=3, ms=7
    )
    axes.set_yticks(places, [words(name) for name in shown["hyperparameter"]])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlim(-1.05, 1.05)
    axes.set_xticks([-1, -0.5, 0, 0.5, 1])
    axes.set_xlabel("lower did better  ←  0  →  higher did better")
    return figure


def draw_slice(
    trials: pd.DataFrame, *, setting: str, objective: str, logarithmic: bool = False
) -> Figure:
    """One setting against the score, one point a trial, the best one in colour.

    Args:
        trials: As `results.report.trials.on_rung` gives them, best first.
        setting: Which column.
        objective: The column of the score.
        logarithmic: Whether the setting's scale is.
    """
    figure = new_figure(*PANEL)
    axes = figure.add_subplot()
    plain_axes(axes, words(setting))
    shown = trials[trials[setting].notna()]
    values = shown[setting].to_numpy(np.float64)
    if is_category(shown[setting]):
        levels = sorted(set(values))
        places = np.array([levels.index(value) for value in values], np.float64)
        axes.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
        axes.set_xlim(-0.5, len(levels) - 0.5)
    else:
        places = values
        if logarithmic:
            axes.set_xscale("log")
    best = (shown.index == trials.index[0]).astype(bool)
    scores = shown[objective].to_numpy(np.float64)
    axes.plot(places[~best], scores[~best], "o", color=TRAIN, ms=6, alpha=0.8)
    axes.plot(places[best], scores[best], "o", color=VALIDATION, ms=9, label="best")
    _score_axis(axes, objective, trials[objective])
    axes.set_xlabel(words(setting))
    if best.any():
        axes.legend(frameon=False)
    return figure


def draw_curves(numbers: pd.DataFrame, *, rung: int, objective: str) -> Figure:
    """The curves of one rung's trials.

    Args:
        numbers: As `results.report.trials.curves` gives them.
        rung: Its epochs.
        objective: The column that is drawn.
    """
    drawn = [
        TrialCurve(str(trial), rows["epoch"].tolist(), rows[objective].tolist())
        for trial, rows in numbers.groupby("trial", sort=False)
    ]
    best = next(iter(numbers.loc[numbers["best"], "trial"]), None)
    return draw_rungs([Rung(rung, drawn, best)], objective=objective)


def draw_parallel(
    trials: pd.DataFrame, *, objective: str, logarithmic: Collection[str] = ()
) -> Figure:
    """One line a trial over all hyperparameters and the score, for paper; the best one in colour.

    A line passes by a setting that its trial does not have.
    """
    names = [name for name in trials.columns if name != "trial"]
    figure = new_figure(9, 3.6)
    axes = figure.add_subplot()
    places = np.column_stack(
        [
            _mark_axis(axes, number, trials[name], log=name in logarithmic)
            for number, name in enumerate(names)
        ]
    )
    for row, heights in reversed(list(enumerate(places))):
        there = np.flatnonzero(np.isfinite(heights))
        colour, width = (VALIDATION, 2.4) if row == 0 else (TRAIN, 1)
        axes.plot(there, heights[there], "-", color=colour, lw=width, alpha=1 if row == 0 else 0.6)
    axes.set_xticks(range(len(names)), [fill(words(name), 13) for name in names])
    axes.tick_params(length=0)
    axes.set_yticks([])
    axes.set_xlim(-0.2, len(names) - 0.6)
    axes.set_ylim(-0.05, 1.05)
    axes.spines[:].set_visible(False)
    return figure


def is_category(values: "pd.Series[Any]") -> bool:
    """Whether a setting is drawn value by value: few different whole numbers."""
    there = values.dropna()
    return there.nunique() <= _MOST_CATEGORIES and bool((there == there.round()).all())


def words(name: str) -> str:
    """A column's name for people; those of metrics stay as the options have them."""
    return name if name.startswith("val_") else name.replace("_", " ")


def _mark_axis(
    axes: Axes, number: int, values: "pd.Series[Any]", *, log: bool
) -> NDArray[np.float64]:
    """Draws one upright axis; gives each value's height in 0..1, NaN where there is none."""
    raw = values.to_numpy(np.float64, na_value=np.nan)
    if is_category(values):
        levels = sorted(set(raw[np.isfinite(raw)]))
        scale = {level: i / max(len(levels) - 1, 1) for i, level in enumerate(levels)}
        heights = np.array([scale.get(value, np.nan) for value in raw])
        marks = {scale[level]: f"{level:g}" for level in levels}
    else:
        moved = np.log10(raw) if log else raw
        low, high = np.nanmin(moved), np.nanmax(moved)
        heights = (moved - low) / (high - low or 1)
        marks = {0.0: f"{np.nanmin(raw):.2g}", 1.0: f"{np.nanmax(raw):.2g}"}
    axes.plot([number, number], [0, 1], color=INK, lw=1)
    for height, text in marks.items():
        behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1}
        axes.text(number + 0.05, height, text, va="center", fontsize=8, color=INK, bbox=behind)
    return heights


def _score_axis(axes: Axes, objective: str, scores: "pd.Series[Any]") -> None:
    """The same limits in every panel that shows these scores."""
    axes.set_ylabel(objective)
    low, high = float(scores.min()), float(scores.max())
    room = 0.06 * (high - low) or 0.01
    if objective == "val_loss" and low > 0:
        axes.set_ylim(low / 1.4, high * 1.4)
        log_losses(axes)
    else:
        axes.set_ylim(low - room, high + room)
