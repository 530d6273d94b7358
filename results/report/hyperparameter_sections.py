"""The sections on hyperparameters: importance, slice plots, parallel coordinates."""

from functools import partial

import pandas as pd

from concrete_study.results.formats import counted
from concrete_study.results.report import search_figures
from concrete_study.results.report.data import ReportData
from concrete_study.results.report.elements import (
    Element,
    ParallelCoordinates,
    Plot,
    Section,
    Table,
)
from concrete_study.results.report.importance import FEWEST, importance, significant
from concrete_study.results.report.search_figures import axis_label
from concrete_study.results.report.trials import on_rung, widest_rung

_METHOD = (
    "Spearman's rank correlation with the score, signed so that positive means that higher values "
    "have better scores. The 95 % interval is a percentile bootstrap over trials (slightly too "
    "narrow for so few), p is from a permutation test, and the corrected p is multiplied by the "
    "number of hyperparameters (Bonferroni). Only monotonic associations are seen: the slice plots "
    "also show an optimum in the middle of a range."
)


def hyperparameter_sections(data: ReportData, promoted: pd.DataFrame) -> list[Section]:
    """The sections on the rung with the most configurations.

    Args:
        data: A study with at least one score.
        promoted: As `results.report.trials.promotions` returns them.
    """
    rung = widest_rung(promoted)
    if rung is None:
        return []
    trials, space = on_rung(data.trials, rung, data.objective), data.study.options.space
    log = {name for name, dimension in space.items() if dimension.log}
    return [
        _importance(data, trials, rung),
        _slices(data, trials, rung, log),
        _parallel(data, trials, rung, log),
    ]


def _importance(data: ReportData, trials: pd.DataFrame, rung: int) -> Section:
    table = importance(trials, data.objective)
    count = counted(len(trials), "trial")
    elements: list[Element] = [
        f"From the {count} at {counted(rung, 'epoch')}, the rung with the most configurations; "
        f"scores on other rungs are not comparable. {_verdict(table, count)}"
    ]
    if table["correlation"].notna().any():
        if rung < max(record.epochs for record in data.trials):
            elements.append(
                f"The importance after {counted(rung, 'epoch')} may differ from that after more."
            )
        caption = (
            "Positive: higher values have better scores. If an interval contains 0, even the "
            "direction is uncertain."
        )
        plot = Plot("importance", caption, table, search_figures.draw_importance)
        elements += [[plot], _METHOD]
    if len(table):
        named = table.assign(hyperparameter=table["hyperparameter"].map(axis_label))
        elements.append(Table("importance", "Rank correlations with the score.", named))
    return Section("importance", "Hyperparameter importance", elements)


def _verdict(table: pd.DataFrame, trials: str) -> str:
    """Which associations are significant, in a sentence or two."""
    if not table["correlation"].notna().any():
        return f"Importance needs at least {FEWEST} trials with different scores and values."
    found = significant(table)
    if not found:
        return f"No significant association was found ({trials})."
    others = (
        f" No significant association was found for the others ({trials})."
        if len(found) < len(table)
        else ""
    )
    return f"Significant: {', '.join(axis_label(name) for name in found)}.{others}"


def _slices(data: ReportData, trials: pd.DataFrame, rung: int, log: set[str]) -> Section:
    draw = partial(search_figures.draw_slice, objective=data.objective)
    plots = [
        Plot(
            f"slice-{name.replace('_', '-')}",
            f"{data.objective.label.capitalize()} against {axis_label(name)}.",
            trials,
            partial(draw, hyperparameter=name, log=name in log),
        )
        for name in trials.columns.drop(["trial", data.objective.name])
    ]
    text = (
        f"One point per trial at {counted(rung, 'epoch')}. The other hyperparameters vary in every "
        "plot."
    )
    return Section("slices", "Slice plots", [text, plots])


def _parallel(data: ReportData, trials: pd.DataFrame, rung: int, log: set[str]) -> Section:
    objective = data.objective
    if objective.direction == "min" and bool((trials[objective.name] > 0).all()):
        log = log | {objective.name}
    text = (
        f"All hyperparameters and the {objective.label} of the {counted(len(trials), 'trial')} at "
        f"{counted(rung, 'epoch')}. A line skips a hyperparameter that its trial does not have."
    )
    draw = partial(search_figures.draw_parallel, log=log)
    plot = Plot("parallel", "One line per trial, the best in orange.", trials, draw)
    return Section("parallel", "Parallel coordinates", [text, ParallelCoordinates(plot, log)])
