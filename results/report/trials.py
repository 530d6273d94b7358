"""The trials of a study as numbers for figures; scores meet only on one rung."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from concrete_study.results.records import HYPERPARAMETERS, TrialRecord
from concrete_study.results.trials import promotion_path, rank, trial_order, with_whole_numbers


def climbs(records: Sequence[TrialRecord], *, objective: str) -> pd.DataFrame:
    """How each configuration climbed: one row per trial, failed ones too.

    Columns: configuration (the id of its first trial), bracket (blank where there are none),
    rung (epochs), trial, status, score (the objective at the best epoch; blank if the trial has
    none that is a number), seconds, promoted (whether a later trial went on with it).

    Raises:
        UsageError: If the objective is unknown.
    """
    known = {record.trial: record for record in records}
    scored = {record.trial for record in rank(records, objective=objective)}
    parents = {record.parent for record in records}
    rows = [
        {
            "configuration": promotion_path(record, known)[0],
            "bracket": record.bracket,
            "rung": record.epochs,
            "trial": record.trial,
            "status": record.status,
            "score": record.score if record.trial in scored else None,
            "seconds": record.seconds,
            "promoted": record.trial in parents,
        }
        for record in sorted(records, key=lambda record: trial_order(record.trial))
    ]
    columns = ["configuration", "bracket", "rung", "trial", "status", "score", "seconds"]
    frame = pd.DataFrame(rows, columns=[*columns, "promoted"])
    return frame.astype({"bracket": "Int64", "rung": "int64", "score": "float64"})


def rounds(climbed: pd.DataFrame, *, lowest_is_best: bool) -> pd.DataFrame:
    """What each round of each bracket cost and brought, in the order of the search.

    Args:
        climbed: As `climbs` gives it.
        lowest_is_best: Whether the objective is a loss.

    Returns:
        bracket, rung, trials, without_score (failed, or with no number for a score), promoted,
        epochs (trained in all), seconds, best_score.
    """
    groups = climbed.groupby(["bracket", "rung"], dropna=False, sort=False)
    frame = pd.DataFrame(
        {
            "trials": groups.size(),
            "without_score": groups["score"].agg(lambda scores: int(scores.isna().sum())),
            "promoted": groups["promoted"].sum(),
            "epochs": groups["rung"].sum(),
            "seconds": groups["seconds"].sum(),
            "best_score": groups["score"].min() if lowest_is_best else groups["score"].max(),
        }
    ).reset_index()
    return frame.sort_values(["bracket", "rung"], ascending=[False, True], ignore_index=True)


def by_configuration(climbed: pd.DataFrame, *, lowest_is_best: bool) -> pd.DataFrame:
    """Each configuration's scores side by side, brackets apart, those that got farthest first.

    Columns: bracket, configuration (its first trial), score_at_<epochs> for each rung, seconds
    (of all its trials).
    """
    keys = ["bracket", "configuration"]
    whole = climbed.groupby(keys, dropna=False, sort=False)
    table = whole["seconds"].sum().to_frame()
    rungs = sorted(climbed["rung"].unique())
    for place, rung in enumerate(rungs):
        here = climbed[climbed["rung"] == rung].groupby(keys, dropna=False)["score"].first()
        table.insert(place, f"score_at_{rung}", here)
    order = ["bracket", *(f"score_at_{rung}" for rung in reversed(rungs))]
    ascending = [False, *[lowest_is_best] * len(rungs)]
    return table.reset_index().sort_values(order, ascending=ascending, ignore_index=True)


def widest_rung(climbed: pd.DataFrame) -> int | None:
    """The rung on which most configurations have a score, of equals the highest.

    Returns:
        Its epochs; None if no trial has a score.
    """
    scored = climbed[climbed["score"].notna()]
    if scored.empty:
        return None
    counts = scored.groupby("rung")["configuration"].nunique()
    return int(counts[counts == counts.max()].index.max())


def on_rung(records: Sequence[TrialRecord], rung: int, *, objective: str) -> pd.DataFrame:
    """The hyperparameters and scores of one rung's trials, best first.

    Columns: trial, one per setting (blank where a trial has none), and the objective by its
    name.
    """
    ranked = rank([r for r in records if r.epochs == rung], objective=objective)
    rows = [
        {"trial": record.trial, **record.hyperparameters, objective: record.score}
        for record in ranked
    ]
    names = {name for record in ranked for name in record.hyperparameters}
    hyperparameters = [
        *(name for name in HYPERPARAMETERS if name in names),
        *sorted(names - set(HYPERPARAMETERS)),
    ]
    return with_whole_numbers(pd.DataFrame(rows, columns=["trial", *hyperparameters, objective]))


def curves(records: Sequence[TrialRecord], rung: int, *, objective: str) -> pd.DataFrame:
    """The curves of one rung's trials, also of those that failed on the way.

    Columns: trial, epoch (from 1), phase, the objective by its name, best (whether the trial
    has the rung's best score).
    """
    there = [record for record in records if record.epochs == rung]
    best = next((record.trial for record in rank(there, objective=objective)), None)
    rows = [
        (record.trial, epoch.epoch, epoch.phase, getattr(epoch, objective), record.trial == best)
        for record in sorted(there, key=lambda record: trial_order(record.trial))
        for epoch in record.curve
    ]
    return pd.DataFrame(rows, columns=["trial", "epoch", "phase", objective, "best"])


def without_score(records: Sequence[TrialRecord], *, objective: str) -> pd.DataFrame:
    """The trials that have no rank, and why.

    Columns: trial, rung, one per setting, reason.
    """
    scored = {record.trial for record in rank(records, objective=objective)}
    rows = [
        {
            "trial": record.trial,
            "rung": record.epochs,
            **record.hyperparameters,
            "reason": record.message or "the score is not a number",
        }
        for record in records
        if record.trial not in scored
    ]
    hyperparameters = [name for name in HYPERPARAMETERS if any(name in row for row in rows)]
    return with_whole_numbers(
        pd.DataFrame(rows, columns=["trial", "rung", *hyperparameters, "reason"])
    )


def logarithmic(manifest: Mapping[str, Any]) -> frozenset[str]:
    """The hyperparameters whose range was searched on a logarithmic scale."""
    space = manifest["options"].get("space") or {}
    return frozenset(name for name, dimension in space.items() if dimension.get("log"))
