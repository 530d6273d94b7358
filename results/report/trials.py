"""The trials of a study as tables for the report; scores compare within one rung only."""

from collections.abc import Sequence

import pandas as pd

from concrete_study.results.hyperparameters import by_name
from concrete_study.results.objectives import Objective
from concrete_study.results.records import TrialRecord
from concrete_study.results.trials import (
    hyperparameter_columns,
    promotion_path,
    rank,
    trial_order,
    trials_table,
)


def promotions(records: Sequence[TrialRecord], objective: Objective) -> pd.DataFrame:
    """One row per trial, failed ones included, with the configuration it belongs to.

    Columns: configuration (the id of its first trial), bracket (blank where there are none),
    rung (epochs), trial, status, score (the objective at the best epoch; blank if the trial has
    no finite one), its standard_error, seconds, promoted (whether its configuration has a
    trial on a higher rung).
    """
    known = {record.trial: record for record in records}
    scored = {record.trial for record in rank(records, objective=objective.name)}
    ordered = sorted(records, key=lambda record: trial_order(record.trial))
    frame = trials_table(ordered).rename(columns={"epochs": "rung"})
    frame["configuration"] = [promotion_path(record, known)[0] for record in ordered]
    frame["score"] = frame["score"].astype("float64").where(frame["trial"].isin(scored))
    frame["promoted"] = frame["trial"].isin([record.parent for record in records])
    columns = ["configuration", "bracket", "rung", "trial", "status", "score", "standard_error"]
    return frame[[*columns, "seconds", "promoted"]]


def rounds(trials: pd.DataFrame, objective: Objective) -> pd.DataFrame:
    """The cost and the best score of each round of `promotions`, in the order of the search.

    Columns: bracket, rung, trials, without_score (failed, or without a finite score), promoted,
    epochs (in all), seconds, best_score.
    """
    groups = trials.assign(lost=trials["score"].isna()).groupby(["bracket", "rung"], dropna=False)
    frame = groups.agg(
        trials=("trial", "size"),
        without_score=("lost", "sum"),
        promoted=("promoted", "sum"),
        epochs=("rung", "sum"),
        seconds=("seconds", "sum"),
        best_score=("score", objective.direction),
    ).reset_index()
    return frame.sort_values(["bracket", "rung"], ascending=[False, True], ignore_index=True)


def widest_rung(trials: pd.DataFrame) -> int | None:
    """The rung on which most configurations have a score; of equal ones the highest."""
    counts = trials[trials["score"].notna()].groupby("rung")["configuration"].nunique()
    return None if counts.empty else int(counts[counts == counts.max()].index.max())


def on_rung(records: Sequence[TrialRecord], rung: int, objective: Objective) -> pd.DataFrame:
    """The hyperparameters and scores of one rung's trials, best first.

    Columns: trial, one per hyperparameter (blank where it is inactive; names are ordered
    categories), and the objective by its name.
    """
    ranked = rank([r for r in records if r.epochs == rung], objective=objective.name)
    table = trials_table(ranked)[["trial", *hyperparameter_columns(ranked, used=True), "score"]]
    for name, hyperparameter in by_name().items():
        if name in table and hyperparameter.names:
            table[name] = pd.Categorical(table[name], hyperparameter.names, ordered=True)
    return table.rename(columns={"score": objective.name})


def without_score(records: Sequence[TrialRecord], objective: Objective) -> pd.DataFrame:
    """The trials that have no rank, and why.

    Columns: trial, rung, one per hyperparameter, reason.
    """
    scored = {record.trial for record in rank(records, objective=objective.name)}
    lost = [record for record in records if record.trial not in scored]
    table = trials_table(lost).rename(columns={"epochs": "rung", "message": "reason"})
    table["reason"] = table["reason"].replace("", "the score is not a finite number")
    return table[["trial", "rung", *hyperparameter_columns(lost, used=True), "reason"]]
