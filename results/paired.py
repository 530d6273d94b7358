"""Paired comparison of retrained models on the same test images."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest, bootstrap

from concrete_study.results.evaluation import final_rows, read_predictions, truth_and_probabilities
from concrete_study.results.folder import StudyFolder

_RESAMPLES = 9999
_COLUMNS = (
    "first",
    "second",
    "images",
    "groups",
    "only_first_correct",
    "only_second_correct",
    "difference",
    "difference_low",
    "difference_high",
    "p_value",
)


def paired_table(studies: Sequence[StudyFolder]) -> pd.DataFrame:
    """One row per pair of studies that are evaluated on exactly the same test images.

    Columns: first, second, images, groups (of the first study's split, e.g. near-duplicates),
    only_first_correct and only_second_correct (images that one model alone classifies
    correctly), difference (accuracy of the first minus that of the second) with its 95 %
    interval by the cluster bootstrap (percentiles, groups resampled 9,999 times), p_value
    (McNemar's exact test, two-sided, clustered by group: a group counts once, for the model
    with more of its images correct). Studies that are not retrained, or have other test images,
    have no row.

    Source: McNemar (1947), "Note on the sampling error of the difference between correlated
    proportions or percentages".
    """
    tested = [study for study in studies if _is_tested(study)]
    predictions = [(study.name, _predictions(study)) for study in tested]
    rows = [
        _compare(first, second)
        for first, second in combinations(predictions, 2)
        if first[1].index.equals(second[1].index)
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _is_tested(study: StudyFolder) -> bool:
    """Whether the study has predictions of its test split, or has lost them."""
    metrics = study.metrics()
    lost = metrics is not None and study.predictions_path.name in metrics.files
    return (study.predictions_path.exists() or lost) and study.has_split


def _compare(
    first: tuple[str, pd.DataFrame], second: tuple[str, pd.DataFrame]
) -> dict[str, str | int | float]:
    better = first[1]["correct"].astype(int) - second[1]["correct"].astype(int)
    of_groups = better.groupby(first[1]["group"])
    net, sizes = of_groups.sum().to_numpy(), of_groups.size().to_numpy()
    low, high = _interval(net, sizes)
    wins, losses = int((net > 0).sum()), int((net < 0).sum())
    return {
        "first": first[0],
        "second": second[0],
        "images": len(better),
        "groups": len(net),
        "only_first_correct": int((better == 1).sum()),
        "only_second_correct": int((better == -1).sum()),
        "difference": float(better.mean()),
        "difference_low": low,
        "difference_high": high,
        "p_value": binomtest(wins, wins + losses).pvalue if wins + losses else 1.0,
    }


def _interval(net: NDArray[Any], sizes: NDArray[Any]) -> tuple[float, float]:
    shares = net / sizes
    if (shares == shares[0]).all():
        return float(shares[0]), float(shares[0])  # scipy.stats.bootstrap returns NaN
    found = bootstrap(
        (net, sizes),
        lambda net, sizes, axis: net.sum(axis) / sizes.sum(axis),
        paired=True,
        n_resamples=_RESAMPLES,
        method="percentile",
        rng=1,
    ).confidence_interval
    return float(found.low), float(found.high)


def _predictions(study: StudyFolder) -> pd.DataFrame:
    """Each test image by its content: whether the best epoch's prediction is correct, its group."""
    best = final_rows(read_predictions(study.predictions_path))
    classes = [name.removeprefix("p_") for name in best.columns if name.startswith("p_")]
    truth, probabilities = truth_and_probabilities(best, classes)
    # Studies may have different names for one file; byte-identical files are numbered.
    split = pd.DataFrame(study.split()).set_index("file")
    rows = split.reindex(best["file"].to_list())
    number = rows.groupby("sha256").cumcount().astype(str)
    predictions = rows[["group"]].assign(correct=probabilities.argmax(axis=1) == truth)
    return predictions.set_index(rows["sha256"] + "/" + number).sort_index()
