"""The sections on the search: leaderboard, promotions, learning curves of trials."""

from functools import partial

import pandas as pd

from concrete_study.results.formats import counted, duration
from concrete_study.results.learning_curves import draw_rungs, trial_curves
from concrete_study.results.report.data import ReportData
from concrete_study.results.report.elements import Element, Plot, Section, Table
from concrete_study.results.report.hyperparameter_sections import hyperparameter_sections
from concrete_study.results.report.search_figures import draw_bracket
from concrete_study.results.report.trials import promotions, rounds, without_score
from concrete_study.results.trials import leaderboard


def search_sections(data: ReportData) -> list[Section]:
    """Every section that needs the trials alone."""
    sections = [_leaderboard(data)]
    if data.ranked:
        trials = promotions(data.trials, data.objective)
        sections += [_promotions(data, trials), *hyperparameter_sections(data, trials)]
    return sections + _curves(data)


def _leaderboard(data: ReportData) -> Section:
    lost = without_score(data.trials, data.objective)
    elements: list[Element] = ["No trial has a score."]
    if data.ranked:
        text = (
            f"Configurations by {data.objective.label}. Each is shown once, at the highest rung "
            "(epoch budget) it reached; scores compare within a rung only. The score of the best "
            "of many trials is optimistic."
        )
        board = leaderboard(data.trials, objective=data.objective.name)
        elements = [text, Table("leaderboard", "Configurations by rung, best first.", board)]
    if len(lost):
        caption = f"{counted(len(lost), 'trial')} without a finite score."
        elements.append(Table("without-score", caption, lost))
    return Section("leaderboard", "Leaderboard", elements)


def _promotions(data: ReportData, trials: pd.DataFrame) -> Section:
    scored = trials[trials["score"].notna()]
    brackets = sorted(scored["bracket"].dropna().unique(), reverse=True)
    draw = partial(draw_bracket, objective=data.objective)
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
    costs = Table("rounds", "Trials, cost and best score of each round.", table)
    title = "Hyperband" if brackets else "Scores"
    return Section("search", title, [f"{text} {cost}", plots, costs])


def _curves(data: ReportData) -> list[Section]:
    label = data.objective.label.capitalize()
    plots = [
        Plot(
            f"curves-{rung}",
            f"{label} of every trial at {counted(int(str(rung)), 'epoch')}.",
            curves,
            partial(draw_rungs, objective=data.objective),
        )
        for rung, curves in trial_curves(data.trials).groupby("rung")
    ]
    text = f"{label} by epoch. A trial's score is the value of its best epoch."
    return [Section("curves", "Learning curves of trials", [text, plots])] if plots else []
