"""Studies ranked against each other: differing options, ranks, and the cost to reach a score."""

from collections.abc import Sequence

import msgspec
import pandas as pd

from concrete_study.results.folder import StudyFolder
from concrete_study.results.objectives import Objective, find_objective
from concrete_study.results.records import SearchOptions
from concrete_study.results.tables import comparison, differences
from concrete_study.results.trials import rank


def changed_options(studies: Sequence[StudyFolder]) -> pd.DataFrame:
    """Options in which studies differ, as JSON, and dimensions of the space, as TOML.

    Columns: study, and one for each option that is not the same in all of them.
    """
    frame = pd.DataFrame([_flat(study.manifest().options) for study in studies]).fillna("")
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
        objective = _objective(study)
        scored = {record.trial for record in rank(records, objective=objective.name)}
        top = max((r.epochs for r in records if r.trial in scored), default=0)
        best, seconds = None, 0.0
        for number, record in enumerate(records, start=1):
            seconds += record.seconds
            if record.trial in scored and record.epochs == top and record.score is not None:
                best = record.score if best is None else objective.best([best, record.score])
                rows.append((study.name, number, seconds, best))
    return pd.DataFrame(rows, columns=["study", "trials", "seconds", "best"])


def cost_to_reach(studies: Sequence[StudyFolder]) -> pd.DataFrame:
    """The cost of each study's trials until it reached the worst of all studies' best scores.

    Columns: study, target (that score), trials and seconds (up to the trial that reached it;
    the time for features is not included). No row if the scores do not compare, or no study
    has one.
    """
    reached = progress(studies) if _comparable(studies, "search") else pd.DataFrame()
    if reached.empty:
        return pd.DataFrame(columns=["study", "target", "trials", "seconds"])
    cost = _objective(studies[0]).cost
    target = max(reached.drop_duplicates("study", keep="last")["best"], key=cost)
    good = reached["best"].map(cost) <= cost(target)
    first: pd.DataFrame = reached.loc[good].drop_duplicates("study", keep="first")
    return first.assign(target=target)[["study", "target", "trials", "seconds"]]


def ranks(studies: Sequence[StudyFolder]) -> pd.DataFrame:
    """Ranks, 1 is the best, ties share the better rank.

    Columns: study, and by_<measure> for score, test_accuracy, test_loss and seconds, each left
    out where no study has it, or where those that have it do not compare.
    """
    frame = comparison(studies)
    tested = [study for study in studies if study.metrics() is not None]
    comparable = {"search": _comparable(studies, "search"), "test": _comparable(tested, "test")}
    measures = {
        "score": (comparable["search"], _objective(studies[0]).direction == "min"),
        "test_accuracy": (comparable["test"], False),
        "test_loss": (comparable["test"], True),
        "seconds": (True, True),
    }
    columns = {
        f"by_{name}": frame[name].rank(ascending=ascending, method="min").astype("Int64")
        for name, (shown, ascending) in measures.items()
        if shown and frame[name].notna().any()
    }
    return pd.DataFrame({"study": frame["study"], **columns})


def _comparable(studies: Sequence[StudyFolder], scores: str) -> bool:
    return not any(difference.scores == scores for difference in differences(studies))


def _objective(study: StudyFolder) -> Objective:
    return find_objective(study.manifest().options.objective)


def _flat(options: SearchOptions) -> dict[str, str]:
    flat = {
        name: msgspec.json.encode(value).decode()
        for name, value in msgspec.structs.asdict(options).items()
        if name != "space"
    }
    return flat | {f"space, {name}": str(d) for name, d in options.space.items()}
