"""The sections on the search: leaderboard, how it got there, what mattered."""

from functools import partial

import pandas as pd

from concrete_study.results.formats import counted, duration
from concrete_study.results.report import search_figures
from concrete_study.results.report.data import Facts
from concrete_study.results.report.elements import (
    Axis,
    Block,
    Drawing,
    Drawings,
    Paragraph,
    Parallel,
    Section,
    Table,
)
from concrete_study.results.report.importance import FEWEST, importance, told_apart
from concrete_study.results.report.trials import (
    by_configuration,
    climbs,
    curves,
    logarithmic,
    on_rung,
    rounds,
    widest_rung,
    without_score,
)
from concrete_study.results.trials import leaderboard

_METHOD = (
    "Spearman's rank correlation, with a 95 % interval from resampled trials (a little too narrow "
    "for so few) and the p of a permutation test; p corrected is p times the number of "
    "hyperparameters. It sees what only rises or only falls, not an optimum in the middle of a "
    "range: for that, see the next plots."
)


def search_sections(facts: Facts) -> list[Section]:
    """Every section that needs no more than the trials."""
    climbed = climbs(facts.records, objective=facts.objective)
    rung = widest_rung(climbed)
    sections = [_leaderboard(facts)]
    if rung is not None:
        trials = on_rung(facts.records, rung, objective=facts.objective)
        sections += [
            _climb(facts, climbed),
            _importance(facts, trials, rung),
            _slices(facts, trials, rung),
            _parallel(facts, trials, rung),
        ]
    if any(record.curve for record in facts.records):
        sections.append(_curves(facts))
    return sections


def _leaderboard(facts: Facts) -> Section:
    board = leaderboard(facts.records, objective=facts.objective)
    lost = without_score(facts.records, objective=facts.objective)
    blocks: list[Block] = []
    if board.empty:
        blocks.append(Paragraph("No trial has a score, so there is nothing to rank."))
    else:
        blocks += [
            Paragraph(
                f"By {facts.objective} on the validation images. A configuration stands once, at "
                "the highest rung (epoch budget) it reached; scores compare within a rung only. "
                "The best of many trials looks a little better than it is."
            ),
            Table("leaderboard", "Configurations, best first, rungs apart.", board),
        ]
    if len(lost):
        text = f"{counted(len(lost), 'trial')} without a score that is a number."
        blocks.append(Table("without-score", text, lost))
    return Section("leaderboard", "Leaderboard", blocks)


def _climb(facts: Facts, climbed: pd.DataFrame) -> Section:
    table = rounds(climbed, lowest_is_best=facts.lowest_is_best)
    brackets = climbed.loc[climbed["score"].notna(), "bracket"].dropna().unique()
    panels = [
        Drawing(
            f"bracket-{bracket}",
            f"Bracket {bracket}: each configuration's {facts.objective} over its rungs.",
            climbed,
            partial(search_figures.draw_bracket, objective=facts.objective, bracket=int(bracket)),
        )
        for bracket in sorted(brackets, reverse=True)
    ] or [
        Drawing(
            "scores",
            f"Each trial's {facts.objective}.",
            climbed,
            partial(search_figures.draw_bracket, objective=facts.objective, bracket=None),
        )
    ]
    text = (
        "A bracket begins with many configurations on a small budget and goes on with the best of "
        "them on a larger one; each rung trains afresh. Lines join the scores of one "
        "configuration; grey ones were tried once, the orange one ended best."
        if len(brackets)
        else "Every configuration was tried once, at full budget."
    )
    left = climbed.loc[~climbed["promoted"] & (climbed["rung"] < climbed["rung"].max()), "seconds"]
    cost = (
        f"Training took {counted(int(table['epochs'].sum()), 'epoch')} and "
        f"{duration(climbed['seconds'].sum())} in all, {duration(left.sum())} of them on "
        "configurations that were left before the top rung."
    )
    blocks: list[Block] = [
        Paragraph(f"{text} {cost}"),
        Drawings(panels),
        Table("rounds", "The rounds and their cost.", table),
        Table(
            "configurations",
            "Each configuration's score at each rung (epochs), and the time of all its trials.",
            by_configuration(climbed, lowest_is_best=facts.lowest_is_best),
        ),
    ]
    return Section("search", "How Hyperband got there" if len(brackets) else "Scores", blocks)


def _importance(facts: Facts, trials: pd.DataFrame, rung: int) -> Section:
    table = importance(trials, objective=facts.objective, lowest_is_best=facts.lowest_is_best)
    told = table["correlation"].notna().any()
    verdict = (
        _verdict(told_apart(table), len(table))
        if told
        else f"Nothing can be said: it takes at least {FEWEST} trials that differ."
    )
    one_rung = (
        f"From the {counted(len(trials), 'trial')} at {counted(rung, 'epoch')}, the rung with most "
        "configurations; scores of other rungs do not compare with theirs."
    )
    blocks: list[Block] = [Paragraph(f"{one_rung} {verdict}")]
    if told and rung < max(record.epochs for record in facts.records):
        text = f"What matters after {counted(rung, 'epoch')} may not matter after more."
        blocks.append(Paragraph(text))
    if told:
        caption = (
            "Right of 0, higher values went with better scores; an interval across 0 leaves even "
            "the direction open."
        )
        blocks += [
            Drawings([Drawing("importance", caption, table, search_figures.draw_importance)]),
            Paragraph(_METHOD),
        ]
    if len(table):
        blocks.append(Table("importance", "Rank correlations with a good score.", table))
    return Section("importance", "Hyperparameter importance", blocks)


def _verdict(clear: list[str], tested: int) -> str:
    if not clear:
        return (
            "No hyperparameter stands out from chance: from so few trials nothing can be said of "
            "their importance."
        )
    named = ", ".join(search_figures.words(name) for name in clear)
    rest = " Of the others nothing can be said." if len(clear) < tested else ""
    return f"Stands out from chance: {named}.{rest}"


def _slices(facts: Facts, trials: pd.DataFrame, rung: int) -> Section:
    logs = logarithmic(facts.manifest)
    panels = [
        Drawing(
            f"slice-{name.replace('_', '-')}",
            f"{facts.objective} by {search_figures.words(name)}.",
            trials,
            partial(
                search_figures.draw_slice,
                setting=name,
                objective=facts.objective,
                logarithmic=name in logs,
            ),
        )
        for name in _settings(facts, trials)
    ]
    text = (
        f"One point a trial, all of the rung of {counted(rung, 'epoch')}. In each plot the other "
        "hyperparameters vary too."
    )
    return Section("slices", "One hyperparameter at a time", [Paragraph(text), Drawings(panels)])


def _parallel(facts: Facts, trials: pd.DataFrame, rung: int) -> Section:
    logs = set(logarithmic(facts.manifest))
    if facts.objective == "val_loss" and bool((trials[facts.objective] > 0).all()):
        logs.add(facts.objective)
    names = [*_settings(facts, trials), facts.objective]
    axes: list[Axis] = []
    columns: list[list[float | str | None]] = []
    for name in names:
        values = trials[name]
        if name != facts.objective and search_figures.is_category(values):
            levels = sorted(values.dropna().unique())
            axes.append(Axis(search_figures.words(name), names=tuple(f"{v:g}" for v in levels)))
            columns.append([None if pd.isna(v) else f"{v:g}" for v in values])
        else:
            axes.append(Axis(search_figures.words(name), log=name in logs))
            columns.append([None if pd.isna(v) else float(v) for v in values])
    drawing = Drawing(
        "parallel",
        "One line a trial; the best in orange.",
        trials,
        partial(
            search_figures.draw_parallel, objective=facts.objective, logarithmic=frozenset(logs)
        ),
    )
    lines = [list(line) for line in zip(*columns, strict=True)]
    text = (
        f"All hyperparameters and {facts.objective} of the {counted(len(trials), 'trial')} at "
        f"{counted(rung, 'epoch')}. A line passes by a hyperparameter that its trial does not have."
    )
    block = Parallel(drawing, axes, lines, [f"trial {trial}" for trial in trials["trial"]])
    return Section("parallel", "All hyperparameters together", [Paragraph(text), block])


def _curves(facts: Facts) -> Section:
    rungs = sorted({record.epochs for record in facts.records if record.curve})
    panels = [
        Drawing(
            f"curves-{rung}",
            f"{facts.objective} of every trial at {counted(rung, 'epoch')}.",
            curves(facts.records, rung, objective=facts.objective),
            partial(search_figures.draw_curves, rung=rung, objective=facts.objective),
        )
        for rung in rungs
    ]
    text = (
        f"{facts.objective} epoch by epoch, rungs apart. A trial's score is its best epoch's value."
    )
    return Section("curves", "Trial curves", [Paragraph(text), Drawings(panels)])


def _settings(facts: Facts, trials: pd.DataFrame) -> list[str]:
    return [name for name in trials.columns if name not in ("trial", facts.objective)]
