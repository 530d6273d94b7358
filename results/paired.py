"""Two retrained models on the same test images: is one better, or was it luck?"""

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
    "only_first_right",
    "only_second_right",
    "difference",
    "difference_low",
    "difference_high",
    "p_value",
)


def paired_table(studies: Sequence[StudyFolder]) -> pd.DataFrame:
    """One row for each two studies that were tested on exactly the same images.

    Columns: first, second, images, groups (different pictures, or what else the first study's
    split kept together: within one, answers are no independent evidence), only_first_right and
    only_second_right (images that one alone classifies rightly), difference (accuracy of the
    first minus that of the second) with its 95 % bootstrap interval (percentiles, groups drawn
    anew 9,999 times), p_value (McNemar's exact test, two-sided, in which a group counts once,
    for the model that has more of its images right). Studies that are not retrained, or have
    other test images, have no row.

    BatchSource: McNemar (1947), "Note on the sampling error of the difference between correlated
    proportions or percentages".
    """
    tested = [s for s in studies if s.predictions_path.exists() and s.split_path.exists()]
    answers = [(study.name, _answers(study)) for study in tested]
    rows = [
        _compare(first, second)
        for first, second in combinations(answers, 2)
        if first[1].index.equals(second[1].index)
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _compare(
    first: tuple[str, pd.DataFrame], second: tuple[str, pd.DataFrame]
) -> dict[str, str | int | float]:
    better = first[1]["right"].astype(int) - second[1]["right"].astype(int)
    of_groups = better.groupby(first[1]["group"])
    net, sizes = of_groups.sum().to_numpy(), of_groups.size().to_numpy()
    low, high = _interval(net, sizes)
    wins, losses = int((net > 0).sum()), int((net < 0).sum())
    return {
        "first": first[0],
        "second": second[0],
        "images": len(better),
        "groups": len(net),
        "only_first_right": int((better == 1).sum()),
        "only_second_right": int((better == -1).sum()),
        "difference": float(better.mean()),
        "difference_low": low,
        "difference_high": high,
        "p_value": binomtest(wins, wins + losses).pvalue if wins + losses else 1.0,
    }


def _interval(net: NDArray[Any], sizes: NDArray[Any]) -> tuple[float, float]:
    shares = net / sizes
    if (shares == shares[0]).all():
        return float(shares[0]), float(shares[0])  # nothing to draw from
    found = bootstrap(
        (net, sizes),
        lambda net, sizes, axis: net.sum(axis) / sizes.sum(axis),
        paired=True,
        n_resamples=_RESAMPLES,
        method="percentile",
        rng=1,
    ).confidence_interval
    return float(found.low), float(found.high)


def _answers(study: StudyFolder) -> pd.DataFrame:
    """Each test image by its content: whether the kept epoch has it right, and its group."""
    kept = final_rows(read_predictions(study.predictions_path))
    classes = [name.removeprefix("p_") for name in kept.columns if name.startswith("p_")]
    truth, probabilities = truth_and_probabilities(kept, classes)
    # Several studies may name one file differently; byte-identical files are numbered.
    split = pd.read_csv(study.split_path, dtype=str, keep_default_na=False).set_index("file")
    rows = split.reindex(kept["file"].to_list())
    number = rows.groupby("sha256").cumcount().astype(str)
    answers = rows[["group"]].assign(right=probabilities.argmax(axis=1) == truth)
    return answers.set_index(rows["sha256"] + "/" + number).sort_index()
