"""Two retrained models on the same test images: is one better, or was it luck?"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest, bootstrap

from results.evaluation import final_rows, read_predictions, truth_and_probabilities
from results.folder import StudyFolder
from results.tables import subset_images

_RESAMPLES = 9999
_COLUMNS = (
    "first",
    "second",
    "images",
    "only_first_right",
    "only_second_right",
    "difference",
    "difference_low",
    "difference_high",
    "p_value",
)


def paired_table(studies: Sequence[StudyFolder]) -> pd.DataFrame:
    """One row for each two studies that were tested on exactly the same images.

    Columns: first, second, images, only_first_right and only_second_right (images that one
    alone classifies rightly), difference (accuracy of the first minus that of the second)
    with its 95 % bootstrap interval (percentiles, images drawn anew 9,999 times), p_value
    (McNemar's exact test, two-sided). Studies that are not retrained, or have other test images,
    have no row.

    Source: McNemar (1947), "Note on the sampling error of the difference between correlated
    proportions or percentages".
    """
    tested = [study for study in studies if study.predictions_path.exists()]
    rows = [
        _compare(first, second)
        for first, second in combinations(tested, 2)
        if subset_images(first, "test") == subset_images(second, "test")
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _compare(first: StudyFolder, second: StudyFolder) -> dict[str, str | int | float]:
    right = pd.DataFrame({"first": _right(first), "second": _right(second)})
    better = right["first"].to_numpy(int) - right["second"].to_numpy(int)
    only_first, only_second = int((better == 1).sum()), int((better == -1).sum())
    low, high = _interval(better)
    disagree = only_first + only_second
    return {
        "first": first.name,
        "second": second.name,
        "images": len(right),
        "only_first_right": only_first,
        "only_second_right": only_second,
        "difference": float(better.mean()),
        "difference_low": low,
        "difference_high": high,
        "p_value": binomtest(only_first, disagree).pvalue if disagree else 1.0,
    }


def _interval(better: NDArray[np.int_]) -> tuple[float, float]:
    if (better == better[0]).all():
        return float(better[0]), float(better[0])  # nothing to draw from
    found = bootstrap(
        (better,), np.mean, n_resamples=_RESAMPLES, method="percentile", rng=1
    ).confidence_interval
    return float(found.low), float(found.high)


def _right(study: StudyFolder) -> "pd.Series[bool]":
    """Whether the kept epoch classifies each test image rightly, by the image's content."""
    kept = final_rows(read_predictions(study.predictions_path))
    classes = [name.removeprefix("p_") for name in kept.columns if name.startswith("p_")]
    truth, probabilities = truth_and_probabilities(kept, classes)
    # Several studies may name one file differently; byte-identical files are numbered.
    split = pd.read_csv(study.split_path, dtype=str, keep_default_na=False)
    content = split.set_index("file")["sha256"].reindex(kept["file"].to_list())
    number = content.groupby(content).cumcount().astype(str)
    right = probabilities.argmax(axis=1) == truth
    return pd.Series(right, index=(content + "/" + number).to_numpy())
