"""Studies as tables, one row each; and the reasons why their scores do not compare."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import PurePath
from typing import Any, Literal, NamedTuple

import pandas as pd

from concrete_study.datasets.errors import StudyStateError
from concrete_study.results.evaluation_records import Estimate, TestReport
from concrete_study.results.folder import StudyFolder
from concrete_study.results.hyperparameters import by_name
from concrete_study.results.metrics import SCORES
from concrete_study.results.trials import find_best, with_whole_numbers

_COUNTS = ("trials", "planned_trials", "failed_trials", "epochs", "rung", "test_images")
# Which scores the images of a subset decide.
_SCORED_ON: dict[str, Literal["test", "search"]] = {"test": "test", "validation": "search"}
_STUDIES = (
    "study",
    "state",
    "created",
    "data",
    "algorithm",
    "trials",
    "planned_trials",
    "failed_trials",
    "objective",
    "score",
    "test_accuracy",
    "test_of_best_trial",
)


def studies_table(studies: Sequence[StudyFolder]) -> pd.DataFrame:
    """One row per study for a listing; a damaged study has the state "damaged" and no more."""
    rows = []
    for study in studies:
        try:
            rows.append(_row(study))
        except StudyStateError:
            rows.append({"study": study.name, "state": "damaged"})
    return _frame(rows).reindex(columns=list(_STUDIES))


def comparison(studies: Sequence[StudyFolder]) -> pd.DataFrame:
    """One row per study with its search, its best trial and its test result.

    Columns: study, state, split (grouped or random), algorithm, trials (finished ones),
    planned_trials, failed_trials, epochs (sum over all completed trials), seconds (wall time of
    the search), objective; score, its standard_error, rung, trial and hyperparameters of the
    retrained trial, or of the best one before any is retrained; test_of_best_trial (False if a
    resumed search has found a better trial since), test_images, test_accuracy with its 95 %
    interval, test_majority_rate (the accuracy of always predicting one class) and the scores of
    `results.metrics`, such as test_roc_auc, with their intervals, blank before retraining; for
    every external test set of any of the studies, on_<folder> (accuracy) with its interval.

    Raises:
        StudyStateError: If a study's files are damaged.
    """
    several = _with_variants(studies)
    frame = _frame([_row(study) | _external(study, several) for study in studies])
    return frame.drop(columns=["created", "data"])


class Difference(NamedTuple):
    """Something in which studies differ, and which of their scores it makes incomparable."""

    scores: Literal["test", "search", "none"]
    sentence: str


def differences(studies: Sequence[StudyFolder]) -> list[Difference]:
    """The reasons why scores of these studies do not compare; empty if they do."""
    found: list[Difference] = []
    for subset, scores in _SCORED_ON.items():
        images = {study.name: subset_images(study, subset) for study in studies}
        for first, second in combinations(images, 2):
            if images[first] != images[second]:
                sentence = (
                    f"The {subset} scores of {first} and {second} are not comparable: "
                    f"their {subset} images differ ({len(images[first])} and "
                    f"{len(images[second])}, {len(images[first] & images[second])} in common)."
                )
                found.append(Difference(scores, sentence))
    return found + _differing_options(studies)


def _differing_options(studies: Sequence[StudyFolder]) -> list[Difference]:
    manifests = [study.manifest() for study in studies]
    rungs = [_row(study).get("rung") for study in studies]
    measures: tuple[tuple[Literal["search", "none"], str, Sequence[object]], ...] = (
        ("search", "measure different objectives", [m.options.objective for m in manifests]),
        ("search", "are from different rungs, that is, different numbers of epochs", rungs),
        (
            "search",
            "are of searches on different numbers of images",
            [sum(m.searched.values()) or None for m in manifests],
        ),
        ("search", "are of different numbers of folds", [m.options.folds for m in manifests]),
    )
    found: list[Difference] = []
    for scores, what, values in measures:
        known = {
            s.name: value for s, value in zip(studies, values, strict=True) if value is not None
        }
        if len(set(known.values())) > 1:
            each = ", ".join(f"{name}: {value}" for name, value in known.items())
            found.append(Difference(scores, f"The scores {what} ({each})."))
    return found


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows).fillna(math.nan)  # also where a whole column is None
    optional = [name for name, h in by_name().items() if h.optional and name in frame]
    frame = frame.drop(columns=[name for name in optional if frame[name].isna().all()])
    counts = [name for name in _COUNTS if name in frame.columns]
    return with_whole_numbers(frame.astype(dict.fromkeys(counts, "Int64")))


def _row(study: StudyFolder) -> dict[str, Any]:
    manifest, records, metrics = study.manifest(), study.trials(), study.metrics()
    options, test = manifest.options, metrics.test if metrics else None
    found = find_best(records, options)
    retrained = [record for record in records if metrics and record.trial == metrics.trial]
    best = retrained[0] if retrained else found
    low, high = test.accuracy_interval if test else (None, None)
    return {
        "study": study.name,
        "state": study.state(),
        "created": manifest.created,
        "data": ", ".join(options.data) or None,
        "split": "random" if manifest.groups is None else "grouped",
        "algorithm": options.algorithm,
        "trials": len(records),
        "planned_trials": manifest.planned_trials,
        "failed_trials": sum(record.status == "failed" for record in records),
        "epochs": sum(record.epochs for record in records if record.status == "completed"),
        "seconds": manifest.seconds,
        "objective": options.objective,
        "score": best and best.score,
        "standard_error": best and best.standard_error,
        "rung": best and best.epochs,
        "trial": best and best.trial,
        **{name: best and best.hyperparameters.get(name) for name in by_name()},
        "test_of_best_trial": bool(retrained) and best is found if metrics else None,
        "test_images": test and test.images,
        "test_accuracy": test and test.accuracy,
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        "test_majority_rate": test and test.majority_rate,
        **score_columns(test, "test_"),
    }


def score_columns(test: TestReport | None, prefix: str = "") -> dict[str, float | None]:
    """The scores of `results.metrics` and their intervals, by column; all None without a test."""
    row: dict[str, float | None] = {}
    for name in SCORES:
        found: Estimate | None = getattr(test.scores, name) if test else None
        for end, value in (("", "value"), ("_low", "low"), ("_high", "high")):
            row[f"{prefix}{name}{end}"] = getattr(found, value) if found else None
    return row


def _with_variants(studies: Sequence[StudyFolder]) -> set[str]:
    """External test sets that a study is evaluated on with several maps or positive classes."""
    counts = (Counter(found.fingerprint for found in study.evaluations()) for study in studies)
    return {fingerprint for each in counts for fingerprint, count in each.items() if count > 1}


def _external(study: StudyFolder, several: set[str]) -> dict[str, float]:
    """Accuracies on external test sets, by folder name and the first digits of its hash.

    Evaluations of the `several` have the first digits of their own hash, too.
    """
    row: dict[str, float] = {}
    for found in study.evaluations():
        name = f"on_{PurePath(found.data).name}_{found.fingerprint[:4]}"
        variant = found.folder.rpartition("-")[2]
        if found.fingerprint in several and not found.fingerprint.startswith(variant):
            name = f"{name}_{variant[:4]}"
        low, high = found.test.accuracy_interval
        row |= {name: found.test.accuracy, f"{name}_low": low, f"{name}_high": high}
    return row


def subset_images(study: StudyFolder, subset: str) -> frozenset[str]:
    """The images of a subset by SHA-256; none if the study has no split yet."""
    if not study.has_split:
        return frozenset()
    return frozenset(row.sha256 for row in study.split() if row.subset == subset)
