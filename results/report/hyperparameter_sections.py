"""The sections on hyperparameters: importance, slice plots, parallel coordinates."""

from functools import partial

import pandas as pd

from concrete_study.results.formats import counted
from concrete_study.results.report import search_figures
from concrete_study.results.report.data import ReportData
from concrete_study.results.report.elements import (
    Axis,
    Element,
    ParallelCoordinates,
    Plot,
    Plots,
    Section,
    Table,
)
from concrete_study.results.report.importance import FEWEST, importance, significant
from concrete_study.results.report.search_figures import is_category, label
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
    trials = on_rung(data.trials, rung, data.objective)
    return [
        _importance(data, trials, rung),
        _slices(data, trials, rung),
        _parallel(data, trials, rung),
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
        elements += [Plots([plot]), _METHOD]
    if len(table):
        named = table.assign(hyperparameter=table["hyperparameter"].map(label))
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
    return f"Significant: {', '.join(label(name) for name in found)}.{others}"


def _slices(data: ReportData, trials: pd.DataFrame, rung: int) -> Section:
    log = _logarithmic(data)
    plots = [
        Plot(
            f"slice-{name.replace('_', '-')}",
            f"{data.objective.label.capitalize()} against {label(name)}.",
            trials,
            partial(
                search_figures.draw_slice,
                hyperparameter=name,
                objective=data.objective,
                log=name in log,
            ),
        )
        for name in _hyperparameters(data, trials)
    ]
    text = (
        f"One point per trial at {counted(rung, 'epoch')}. The other hyperparameters vary in every "
        "plot."
    )
    return Section("slices", "Slice plots", [text, Plots(plots)])


def _parallel(data: ReportData, trials: pd.DataFrame, rung: int) -> Section:
    objective = data.objective
    log = _logarithmic(data)
    if objective.direction == "min" and bool((trials[objective.name] > 0).all()):
        log |= {objective.name}
    axes: list[Axis] = []
    columns: list[list[float | str | None]] = []
    for name in [*_hyperparameters(data, trials), objective.name]:
        values = trials[name]
        if name != objective.name and is_category(values):
            levels = sorted(values.dropna().unique())
            axes.append(Axis(label(name), names=tuple(f"{v:g}" for v in levels)))
            columns.append([None if pd.isna(v) else f"{v:g}" for v in values])
        else:
            axes.append(Axis(label(name), log=name in log))
            columns.append([None if pd.isna(v) else float(v) for v in values])
    text = (
        f"All hyperparameters and the {objective.label} of the {counted(len(trials), 'trial')} at "
        f"{counted(rung, 'epoch')}. A line skips a hyperparameter that its trial does not have."
    )
    draw = partial(search_figures.draw_parallel, log=log)
    element = ParallelCoordinates(
        Plot("parallel", "One line per trial, the best in orange.", trials, draw),
        axes,
        lines=[list(line) for line in zip(*columns, strict=True)],
        labels=[f"trial {trial}" for trial in trials["trial"]],
    )
    return Section("parallel", "Parallel coordinates", [text, element])


def _logarithmic(data: ReportData) -> frozenset[str]:
    """The hyperparameters whose range was searched on a logarithmic scale."""
    space = data.study.options.space
    return frozenset(name for name, dimension in space.items() if dimension.log)


def _hyperparameters(data: ReportData, trials: pd.DataFrame) -> list[str]:
    return [name for name in trials.columns if name not in ("trial", data.objective.name)]
