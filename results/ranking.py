"""How studies stand to each other: options that differ, places, what a score cost."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from concrete_study.results.folder import StudyFolder
from concrete_study.results.formats import toml_value
from concrete_study.results.tables import comparison, differences
from concrete_study.results.trials import objective_direction, rank


def changed_options(studies: Sequence[StudyFolder]) -> pd.DataFrame:
    """Options in which studies differ, as JSON, and dimensions of the space, as TOML.

    Columns: study, and one for each option that is not the same in all of them.
    """
    frame = pd.DataFrame([_flat(study.manifest()["options"]) for study in studies]).fillna("")
    differing = [name for name in frame.columns if frame[name].nunique() > 1]
    changed = frame[differing]
    changed.insert(0, "study", [study.name for study in studies])
    return changed if differing else changed.iloc[:0]


def progress(studies: Sequence[StudyFolder]) -> pd.DataFrame:
    """The best score so far over a search's time, on each study's highest rung.

    Columns: study, trials (done so far), seconds (their sum), best.
    """
    rows = []
    for study in studies:
        records = study.trials()
        objective = objective_of(study)
        scored = {record.trial for record in rank(records, objective=objective)}
        top = max((r.epochs for r in records if r.trial in scored), default=0)
        choose = min if objective_direction(objective) == "min" else max
        best, seconds = None, 0.0
        for number, record in enumerate(records, start=1):
            seconds += record.seconds
            if record.trial in scored and record.epochs == top and record.score is not None:
                best = record.score if best is None else choose(best, record.score)
                rows.append((study.name, number, seconds, best))
    return pd.DataFrame(rows, columns=["study", "trials", "seconds", "best"])


def cost_to_reach(studies: Sequence[StudyFolder]) -> pd.DataFrame:
    """What each study spent on trials until it had the worst of all studies' best scores.

    Columns: study, target (that score), trials and seconds (up to the trial that reached it;
    features are not counted). No row if the scores do not compare, or no study has one.
    """
    reached = progress(studies) if _compare(studies, "search") else pd.DataFrame()
    if reached.empty:
        return pd.DataFrame(columns=["study", "target", "trials", "seconds"])
    last = reached.drop_duplicates("study", keep="last")["best"]
    lowest = _lowest_is_best(studies)
    target = last.max() if lowest else last.min()
    there = reached["best"] <= target if lowest else reached["best"] >= target
    first: pd.DataFrame = reached.loc[there].drop_duplicates("study", keep="first")
    return first.assign(target=target)[["study", "target", "trials", "seconds"]]


def ranks(studies: Sequence[StudyFolder]) -> pd.DataFrame:
    """Places, 1 the best, ties sharing the better one.

    Columns: study, and by_<measure> for score, test_accuracy, test_loss and seconds, each left
    out where no study has it, or where those that have it do not compare.
    """
    frame = comparison(studies)
    tested = [study for study in studies if study.metrics() is not None]
    compare = {"search": _compare(studies, "search"), "test": _compare(tested, "test")}
    measures = {
        "score": (compare["search"], _lowest_is_best(studies)),
        "test_accuracy": (compare["test"], False),
        "test_loss": (compare["test"], True),
        "seconds": (True, True),
    }
    columns = {
        f"by_{name}": frame[name].rank(ascending=lowest, method="min").astype("Int64")
        for name, (comparable, lowest) in measures.items()
        if comparable and frame[name].notna().any()
    }
    return pd.DataFrame({"study": frame["study"], **columns})


def _compare(studies: Sequence[StudyFolder], scores: str) -> bool:
    return not any(difference.scores == scores for difference in differences(studies))


def _lowest_is_best(studies: Sequence[StudyFolder]) -> bool:
    """Of the first study's objective; where scores compare it is that of all."""
    return objective_direction(objective_of(studies[0])) == "min"


def objective_of(study: StudyFolder) -> str:
    """What a study was searched for."""
    return str(study.manifest()["options"].get("objective", "val_loss"))


def _flat(options: dict[str, Any]) -> dict[str, str]:
    flat = {name: json.dumps(value) for name, value in options.items() if name != "space"}
    space = options.get("space") or {}
    return flat | {f"space, {name}": toml_value(dimension) for name, dimension in space.items()}
