"""The trials of a study as tables: all trials, their ranking, and the leaderboard by rung."""

import math
from collections.abc import Sequence

import pandas as pd

from concrete_study.datasets.errors import SearchError
from concrete_study.results.hyperparameters import by_name
from concrete_study.results.objectives import OBJECTIVES, find_objective
from concrete_study.results.records import SearchOptions, TrialRecord

METRICS = ("loss", "accuracy", *OBJECTIVES)
OUT_OF_MEMORY = "out of memory"  # in the message of a failed trial
SELECTIONS = ("min", "1se")  # rules by which the best trial is chosen
_WHOLE_NUMBERS = ("bracket", "round", "epochs", "best_epoch")


def trial_order(trial: str) -> tuple[int, str]:
    """Sort key of a trial id, so that "10000" comes after "9999"."""
    return len(trial), trial


def trials_table(records: Sequence[TrialRecord]) -> pd.DataFrame:
    """One row per trial, in the order given, as trials.csv holds it.

    Columns: trial, status, bracket, round, parent, one per hyperparameter, epochs (the rung),
    best_epoch, one per metric at the best epoch, score, standard_error (of the score, over folds
    or repeats), seconds, message. Missing values are blank.
    """
    names = hyperparameter_columns(records)
    others = {name for record in records for name in record.metrics} - set(METRICS)
    metrics = [*METRICS, *sorted(others)]
    rows = [
        [
            *(r.trial, r.status, r.bracket, r.round, r.parent),
            *(r.hyperparameters.get(name) for name in names),
            *(r.epochs, r.best_epoch),
            *(r.metrics.get(name) for name in metrics),
            *(r.score, r.standard_error, r.seconds, r.message),
        ]
        for r in records
    ]
    before = ("trial", "status", "bracket", "round", "parent", *names, "epochs", "best_epoch")
    columns = [*before, *metrics, "score", "standard_error", "seconds", "message"]
    table = pd.DataFrame(rows, columns=columns).astype({"standard_error": "float64"})
    return with_whole_numbers(table)


def hyperparameter_columns(records: Sequence[TrialRecord], *, used: bool = False) -> list[str]:
    """Those of a default search and of the records; with `used`, those of the records alone."""
    names = {name for record in records for name in record.hyperparameters}
    known = [name for name, h in by_name().items() if name in names or not (used or h.optional)]
    return [*known, *sorted(names.difference(known))]


def rank(records: Sequence[TrialRecord], *, objective: str) -> list[TrialRecord]:
    """The completed trials, best first, in one order on every machine.

    The highest rung comes first, as scores of different rungs do not compare; then the
    score; a tie goes to the lower trial id. A trial whose score is missing, NaN or infinite
    has no rank.

    Raises:
        UsageError: If the objective is unknown.
    """
    cost = find_objective(objective).cost

    def order(record: TrialRecord) -> tuple[int, float, tuple[int, str]]:
        return -record.epochs, cost(record.score or 0.0), trial_order(record.trial)

    return sorted(filter(_is_scored, records), key=order)


def find_best(records: Sequence[TrialRecord], options: SearchOptions) -> TrialRecord | None:
    """The best trial of the top rung that any completed trial reached; None if there is none.

    `options.select` is the rule: "min" takes the best score; "1se" the simplest trial whose score
    is within one standard error of it, that is, with the smallest unfreeze depth, then the fewest
    head units, then the better score. Without a standard error both are the same.

    Source of "1se": Breiman et al., "Classification and Regression Trees", 1984, section 3.4.3.

    Raises:
        UsageError: If the objective is unknown.
    """
    ranked = rank(records, objective=options.objective)
    if not ranked or options.select == "min" or ranked[0].standard_error is None:
        return ranked[0] if ranked else None
    cost = find_objective(options.objective).cost
    limit = cost(ranked[0].score or 0.0) + ranked[0].standard_error
    top = [record for record in ranked if record.epochs == ranked[0].epochs]
    return min((r for r in top if cost(r.score or 0.0) <= limit), key=_complexity)


def best_trial(records: Sequence[TrialRecord], options: SearchOptions) -> TrialRecord:
    """The trial of `find_best`, of which there has to be one.

    Raises:
        SearchError: If no trial is completed with a score.
        UsageError: If the objective is unknown.
    """
    if (best := find_best(records, options)) is not None:
        return best
    messages = [record.message for record in records if record.message]
    reason = f" The last failure: {messages[-1]}" if messages else ""
    raise SearchError(
        "No trial is completed, so there is no best trial.",
        f"Expected at least one completed trial; found {len(records)} trials.{reason}",
        remedy_of(messages) if records else "run the search first.",
    )


def remedy_of(messages: Sequence[str]) -> str:
    """What to do about failed trials; the last message decides."""
    if messages and OUT_OF_MEMORY in messages[-1]:
        return "search again with a smaller batch size or image size, or a lower unfreeze depth."
    return "search again in a narrower space, with lower learning rates."


def ended_by_failures(records: Sequence[TrialRecord]) -> bool:
    """Whether no trial is completed, or the last three failed, which ends a search."""
    ordered = sorted(records, key=lambda record: trial_order(record.trial))
    statuses = {record.status for record in ordered}
    return statuses == {"failed"} or [r.status for r in ordered[-3:]] == ["failed"] * 3


def leaderboard(records: Sequence[TrialRecord], *, objective: str) -> pd.DataFrame:
    """The configurations, best first, each in one row: at the highest rung it completed.

    Columns: rung (epochs), rank (from 1 within the rung), trial, path (the trials from the
    first rung on, e.g. "0001 → 0012 → 0016"), one per hyperparameter, the validation metrics,
    score (the objective), its standard_error, best_epoch, seconds (of the whole path).

    Raises:
        UsageError: If the objective is unknown.
    """
    known = {record.trial: record for record in records}
    ranked = rank(records, objective=objective)
    paths = {record.trial: promotion_path(record, known) for record in ranked}
    promoted = {
        trial
        for record in ranked
        for trial in paths[record.trial]
        if trial in known and known[trial].epochs < record.epochs
    }
    shown = [record for record in ranked if record.trial not in promoted]
    table = trials_table(shown).rename(columns={"epochs": "rung"})
    table["rank"] = table.groupby("rung").cumcount() + 1
    table["path"] = [" → ".join(paths[record.trial]) for record in shown]
    table["seconds"] = [
        sum(known[trial].seconds for trial in paths[record.trial] if trial in known)
        for record in shown
    ]
    validation = [name for name in METRICS if name.startswith("val_")]
    head = ["rung", "rank", "trial", "path", *hyperparameter_columns(shown)]
    return table[[*head, *validation, "score", "standard_error", "best_epoch", "seconds"]]


def promotion_path(record: TrialRecord, known: dict[str, TrialRecord]) -> list[str]:
    """The ids of the trials of a configuration, from the first rung to the last.

    Args:
        record: The last trial of the path.
        known: The study's trials by id.
    """
    path = [record.trial]
    parent = record.parent
    while parent is not None and parent not in path:
        path.append(parent)
        parent = known[parent].parent if parent in known else None
    return path[::-1]


def with_whole_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Keeps counts as integers, also where some are blank (pandas would make them floats)."""
    integers = [name for name, h in by_name().items() if h.integer]
    counts = [name for name in (*_WHOLE_NUMBERS, *integers) if name in table.columns]
    return table.astype(dict.fromkeys(counts, "Int64"))


def _complexity(record: TrialRecord) -> tuple[float, float]:
    values = record.hyperparameters
    return float(values.get("unfreeze_depth", 0)), float(values.get("head_units", 0))


def _is_scored(record: TrialRecord) -> bool:
    scored = record.score is not None and math.isfinite(record.score)
    return record.status == "completed" and scored
