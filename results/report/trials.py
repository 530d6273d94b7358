"""The trials of a study as tables for the report; scores compare within one rung only."""

from collections.abc import Sequence

import pandas as pd

from concrete_study.results.hyperparameters import by_name
from concrete_study.results.objectives import Objective
from concrete_study.results.records import TrialRecord
from concrete_study.results.trials import promotion_path, rank, trial_order, with_whole_numbers


def promotions(records: Sequence[TrialRecord], objective: Objective) -> pd.DataFrame:
    """One row per trial, failed ones included, with the configuration it belongs to.

    Columns: configuration (the id of its first trial), bracket (blank where there are none),
    rung (epochs), trial, status, score (the objective at the best epoch; blank if the trial has
    no finite one), seconds, promoted (whether its configuration has a trial on a higher rung).
    """
    known = {record.trial: record for record in records}
    scored = {record.trial for record in rank(records, objective=objective.name)}
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


def rounds(trials: pd.DataFrame, objective: Objective) -> pd.DataFrame:
    """The cost and the best score of each round of each bracket, in the order of the search.

    Args:
        trials: As `promotions` returns them.
        objective: What the scores are.

    Returns:
        bracket, rung, trials, without_score (failed, or without a finite score), promoted,
        epochs (in all), seconds, best_score.
    """
    groups = trials.groupby(["bracket", "rung"], dropna=False, sort=False)
    frame = pd.DataFrame(
        {
            "trials": groups.size(),
            "without_score": groups["score"].agg(lambda scores: int(scores.isna().sum())),
            "promoted": groups["promoted"].sum(),
            "epochs": groups["rung"].sum(),
            "seconds": groups["seconds"].sum(),
            "best_score": groups["score"].agg(objective.direction),
        }
    ).reset_index()
    return frame.sort_values(["bracket", "rung"], ascending=[False, True], ignore_index=True)


def by_configuration(trials: pd.DataFrame, objective: Objective) -> pd.DataFrame:
    """Each configuration's scores side by side, by bracket, those of the highest rungs first.

    Columns: bracket, configuration (its first trial), score_at_<epochs> for each rung, seconds
    (of all its trials).
    """
    keys = ["bracket", "configuration"]
    table = trials.groupby(keys, dropna=False, sort=False)["seconds"].sum().to_frame()
    rungs = sorted(trials["rung"].unique())
    for position, rung in enumerate(rungs):
        here = trials[trials["rung"] == rung].groupby(keys, dropna=False)["score"].first()
        table.insert(position, f"score_at_{rung}", here)
    order = ["bracket", *(f"score_at_{rung}" for rung in reversed(rungs))]
    ascending = [False, *[objective.direction == "min"] * len(rungs)]
    return table.reset_index().sort_values(order, ascending=ascending, ignore_index=True)


def widest_rung(trials: pd.DataFrame) -> int | None:
    """The rung on which most configurations have a score; of equal ones the highest.

    Returns:
        Its epochs; None if no trial has a score.
    """
    scored = trials[trials["score"].notna()]
    if scored.empty:
        return None
    counts = scored.groupby("rung")["configuration"].nunique()
    return int(counts[counts == counts.max()].index.max())


def on_rung(records: Sequence[TrialRecord], rung: int, objective: Objective) -> pd.DataFrame:
    """The hyperparameters and scores of one rung's trials, best first.

    Columns: trial, one per hyperparameter (blank where it is inactive), and the objective by
    its name.
    """
    ranked = rank([r for r in records if r.epochs == rung], objective=objective.name)
    rows = [
        {"trial": record.trial, **record.hyperparameters, objective.name: record.score}
        for record in ranked
    ]
    columns = ["trial", *_hyperparameters(ranked), objective.name]
    return with_whole_numbers(pd.DataFrame(rows, columns=columns))


def without_score(records: Sequence[TrialRecord], objective: Objective) -> pd.DataFrame:
    """The trials that have no rank, and why.

    Columns: trial, rung, one per hyperparameter, reason.
    """
    scored = {record.trial for record in rank(records, objective=objective.name)}
    lost = [record for record in records if record.trial not in scored]
    rows = [
        {
            "trial": record.trial,
            "rung": record.epochs,
            **record.hyperparameters,
            "reason": record.message or "the score is not a finite number",
        }
        for record in lost
    ]
    columns = ["trial", "rung", *_hyperparameters(lost), "reason"]
    return with_whole_numbers(pd.DataFrame(rows, columns=columns))


def _hyperparameters(records: Sequence[TrialRecord]) -> list[str]:
    """The active hyperparameters of some trials, in the order of every table."""
    names = {name for record in records for name in record.hyperparameters}
    known = [name for name in by_name() if name in names]
    return [*known, *sorted(names.difference(known))]
