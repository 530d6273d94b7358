"""Studies as tables, one row each."""

import csv
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import PurePath
from typing import Any, Literal, NamedTuple

import pandas as pd

from concrete_study.datasets.errors import StudyStateError
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import HYPERPARAMETERS, TrialRecord
from concrete_study.results.trials import rank, with_whole_numbers

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
)
_COMPARISON = (
    "study",
    "state",
    "split",
    "algorithm",
    "trials",
    "planned_trials",
    "failed_trials",
    "epochs",
    "seconds",
    "objective",
    "score",
    "rung",
    "trial",
    *HYPERPARAMETERS,
    "test_images",
    "test_accuracy",
    "test_accuracy_low",
    "test_accuracy_high",
    "test_loss",
    "test_macro_f1",
)


def studies_table(studies: Sequence[StudyFolder]) -> pd.DataFrame:
    """One row per study for a listing; a damaged study has the state "damaged" and no more."""
    rows = []
    for study in studies:
        try:
            rows.append(_row(study))
        except StudyStateError:
            rows.append({"study": study.name, "state": "damaged"})
    return _frame(rows, _STUDIES)


def comparison(studies: Sequence[StudyFolder]) -> pd.DataFrame:
    """One row per study with its search, its best trial and its test result.

    Columns: study, state, split (see `split_kind`), algorithm, trials (finished ones),
    planned_trials, failed_trials, epochs (the rungs of all completed trials added up),
    seconds (wall time of the search), objective, score, rung, trial and hyperparameters of the
    trial
    that `study best` retrained, or would; test_images, test_accuracy with its 95 % interval,
    test_loss and test_macro_f1, which are blank until `study best` was run; and for every other
    folder that one of them was tested on by `study evaluate`, on_<folder> (accuracy) with its
    interval.

    Raises:
        StudyStateError: If a study's files are damaged.
    """
    rows = [_row(study) | _elsewhere(study) for study in studies]
    others = dict.fromkeys(name for row in rows for name in row if name.startswith("on_"))
    return _frame(rows, [*_COMPARISON, *others])


class Difference(NamedTuple):
    """Something that studies do not share, and which of their scores do not compare for it."""

    scores: Literal["test", "search", "none"]
    sentence: str


def differences(studies: Sequence[StudyFolder]) -> list[Difference]:
    """Why scores of these studies do not compare, one sentence each; empty if they do."""
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
    return found + _differing_settings(studies)


def _differing_settings(studies: Sequence[StudyFolder]) -> list[Difference]:
    rows = [_row(study) for study in studies]
    sizes = [study.manifest()["options"].get("image_size") for study in studies]
    parts = [sum((study.manifest().get("searched") or {}).values()) or None for study in studies]
    told: tuple[tuple[Literal["search", "none"], str, list[Any]], ...] = (
        ("search", "measure different objectives", [row["objective"] for row in rows]),
        (
            "search",
            "are from different rungs, that is, after different numbers of epochs",
            [row.get("rung") for row in rows],
        ),
        ("none", "are for different image sizes in pixels", sizes),
        ("search", "are of searches on different numbers of images", parts),
    )
    found: list[Difference] = []
    for scores, what, values in told:
        known = {
            s.name: value for s, value in zip(studies, values, strict=True) if value is not None
        }
        if len(set(known.values())) > 1:
            each = ", ".join(f"{name}: {value}" for name, value in known.items())
            found.append(Difference(scores, f"The scores {what} ({each})."))
    return found


def is_sample(manifest: Mapping[str, Any]) -> bool:
    """Whether a study is one of the built-in sample, not of a folder of images."""
    return list(manifest["options"].get("data", "?")) == []


def split_kind(manifest: Mapping[str, Any]) -> str:
    """`by picture` if copies of one were kept together, `by file` if they may straddle."""
    return "by file" if manifest.get("groups") is None else "by picture"


def _frame(rows: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(columns))
    counts = [name for name in _COUNTS if name in columns]
    return with_whole_numbers(frame.astype(dict.fromkeys(counts, "Int64")))


def _row(study: StudyFolder) -> dict[str, Any]:
    manifest, records, metrics = study.manifest(), study.trials(), study.metrics() or {}
    options, test = manifest["options"], metrics.get("test", {})
    row = {
        "study": study.name,
        "state": study.state(),
        "created": manifest["created"],
        "data": ", ".join(options.get("data") or ()) or None,
        "split": split_kind(manifest),
        "algorithm": options.get("algorithm"),
        "trials": len(records),
        "planned_trials": manifest.get("planned_trials"),
        "failed_trials": sum(record.status == "failed" for record in records),
        "epochs": sum(record.epochs for record in records if record.status == "completed"),
        "seconds": manifest.get("seconds"),
        "objective": options.get("objective"),
    }
    chosen = _chosen(records, str(options.get("objective")), metrics.get("trial"))
    if chosen is not None:
        row |= {"score": chosen.score, "rung": chosen.epochs, "trial": chosen.trial}
        row |= {name: chosen.hyperparameters.get(name) for name in HYPERPARAMETERS}
    low, high = test.get("accuracy_interval", (None, None))
    return row | {
        "test_images": test.get("images"),
        "test_accuracy": test.get("accuracy"),
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        "test_loss": test.get("loss"),
        "test_macro_f1": test.get("macro_f1"),
    }


def _elsewhere(study: StudyFolder) -> dict[str, float]:
    """Accuracies on other folders, by the folder's name and the first digits of its content."""
    row: dict[str, float] = {}
    for metrics in study.evaluations():
        name = f"on_{PurePath(metrics['data']).name}_{metrics['fingerprint'][:4]}"
        low, high = metrics["test"]["accuracy_interval"]
        row |= {name: metrics["test"]["accuracy"], f"{name}_low": low, f"{name}_high": high}
    return row


def _chosen(
    records: Sequence[TrialRecord], objective: str, retrained: str | None
) -> TrialRecord | None:
    ranked = rank(records, objective=objective)
    named = [record for record in ranked if record.trial == retrained]
    return next(iter([*named, *ranked]), None)


def subset_images(study: StudyFolder, subset: str) -> frozenset[str]:
    """The images of a subset by SHA-256; none if the study has no split yet."""
    if not study.split_path.exists():
        return frozenset()
    with study.split_path.open(encoding="utf-8", newline="") as file:
        return frozenset(row["sha256"] for row in csv.DictReader(file) if row["subset"] == subset)
