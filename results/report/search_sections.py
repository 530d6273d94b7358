"""The sections on the search: leaderboard, promotions, learning curves of trials."""

from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from concrete_study.results.formats import counted, duration
from concrete_study.results.learning_curves import (
    Curve,
    curves_table,
    draw_rungs,
    read_curves,
    trial_curves,
)
from concrete_study.results.objectives import Objective
from concrete_study.results.report import search_figures
from concrete_study.results.report.data import ReportData
from concrete_study.results.report.elements import Element, Plot, Plots, Section, Table
from concrete_study.results.report.hyperparameter_sections import hyperparameter_sections
from concrete_study.results.report.trials import by_configuration, promotions, rounds, without_score
from concrete_study.results.trials import leaderboard


def search_sections(data: ReportData) -> list[Section]:
    """Every section that needs the trials alone."""
    sections = [_leaderboard(data)]
    if data.ranked:
        trials = promotions(data.trials, data.objective)
        sections += [_promotions(data, trials), *hyperparameter_sections(data, trials)]
    if curves := trial_curves(data.trials):
        sections.append(_curves(data, curves))
    return sections


def _leaderboard(data: ReportData) -> Section:
    lost = without_score(data.trials, data.objective)
    elements: list[Element] = ["No trial has a score."]
    if data.ranked:
        elements = [
            f"Configurations by {data.objective.label}. Each is shown once, at the highest rung "
            "(epoch budget) it reached; scores compare within a rung only. The score of the best "
            "of many trials is optimistic.",
            Table(
                "leaderboard",
                "Configurations by rung, best first.",
                leaderboard(data.trials, objective=data.objective.name),
            ),
        ]
    if len(lost):
        caption = f"{counted(len(lost), 'trial')} without a finite score."
        elements.append(Table("without-score", caption, lost))
    return Section("leaderboard", "Leaderboard", elements)


def _promotions(data: ReportData, trials: pd.DataFrame) -> Section:
    scored = trials[trials["score"].notna()]
    brackets = sorted(scored["bracket"].dropna().unique(), reverse=True)
    draw = partial(search_figures.draw_bracket, objective=data.objective)
    label = data.objective.label
    plots = [
        Plot(
            f"bracket-{bracket}",
            f"Bracket {bracket}: {label} of each configuration on its rungs.",
            trials,
            partial(draw, bracket=int(bracket)),
        )
        for bracket in brackets
    ] or [
        Plot("scores", f"{label.capitalize()} of each trial.", trials, partial(draw, bracket=None))
    ]
    table = rounds(trials, data.objective)
    text = (
        "Each bracket starts with many configurations at a small budget and promotes the best of "
        "them to the next rung, where they are trained from scratch. Lines connect the scores of "
        "one configuration; grey ones were not promoted, the orange one is the best."
        if brackets
        else "Each configuration was tried once, at the full budget."
    )
    stopped = trials.loc[~trials["promoted"] & (trials["rung"] < trials["rung"].max()), "seconds"]
    cost = (
        f"Training took {counted(int(table['epochs'].sum()), 'epoch')} and "
        f"{duration(trials['seconds'].sum())} in all, {duration(stopped.sum())} of them on trials "
        "below the top rung that were not promoted."
    )
    elements: list[Element] = [
        f"{text} {cost}",
        Plots(plots),
        Table("rounds", "Trials, cost and best score of each round.", table),
        Table(
            "configurations",
            "Score of each configuration at each rung (epochs), and the time of all its trials.",
            by_configuration(trials, data.objective),
        ),
    ]
    return Section("search", "Hyperband" if brackets else "Scores", elements)


def _curves(data: ReportData, rungs: dict[int, list[Curve]]) -> Section:
    label = data.objective.label
    plots = [
        Plot(
            f"curves-{rung}",
            f"{label.capitalize()} of every trial at {counted(rung, 'epoch')}.",
            curves_table(curves, "trial"),
            partial(_draw, rung=rung, objective=data.objective),
        )
        for rung, curves in rungs.items()
    ]
    text = f"{label.capitalize()} by epoch. A trial's score is the value of its best epoch."
    return Section("curves", "Learning curves of trials", [text, Plots(plots)])


def _draw(table: pd.DataFrame, *, rung: int, objective: Objective) -> Figure:
    return draw_rungs({rung: read_curves(table)}, objective)
