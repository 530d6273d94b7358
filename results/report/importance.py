"""Rank correlations of hyperparameters with the score, with their uncertainty for few trials."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap, permutation_test, rankdata

from concrete_study.results.objectives import Objective

# With 4 trials even a perfect order is random in 1 of 12 studies, with 5 in 1 of 60.
FEWEST = 5
RESAMPLES = 2000  # the third digit of an interval still varies; nobody reads that far
LEVEL = 0.95
_SEED = 7  # the same study gives the same report


def importance(trials: pd.DataFrame, objective: Objective) -> pd.DataFrame:
    """Spearman's rank correlation of each hyperparameter with the score, on one rung.

    Positive means that higher values have better scores. Only monotonic associations are seen:
    an optimum in the middle of a range shows in the slice plots alone. The interval is a
    percentile bootstrap over trials; with some ten trials it is a little too narrow.

    Args:
        trials: As `results.report.trials.on_rung` returns them.
        objective: The column of the score.

    Returns:
        One row per hyperparameter that varied, the strongest correlation first: hyperparameter,
        trials (in which it is active), correlation, low, high (95 % interval), p (two-sided
        permutation test), p_corrected (Bonferroni: times the number of hyperparameters, at most
        1). All but the first two are blank below `FEWEST` trials.

    Source: Spearman (1904), "The proof and measurement of association between two things";
    Efron (1979), "Bootstrap methods: another look at the jackknife".
    """
    names = trials.columns.drop(["trial", objective.name])
    goodness = -trials[objective.name].map(objective.cost)
    rows = [
        {"hyperparameter": name, **_association(trials.loc[has, name], goodness[has])}
        for name, has in ((name, trials[name].notna()) for name in names)
        if trials[name].nunique() > 1
    ]
    columns = ["hyperparameter", "trials", "correlation", "low", "high", "p"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["p_corrected"] = (frame["p"] * len(frame)).clip(upper=1.0)
    order = -frame["correlation"].abs()
    return frame.loc[order.sort_values(kind="stable").index].reset_index(drop=True)


def significant(table: pd.DataFrame) -> list[str]:
    """The hyperparameters with a corrected p up to 0.05."""
    return table.loc[table["p_corrected"] <= 1 - LEVEL + 1e-12, "hyperparameter"].tolist()


def _association(values: "pd.Series[Any]", goodness: "pd.Series[Any]") -> dict[str, float]:
    count = len(values)
    blank = dict.fromkeys(("correlation", "low", "high", "p"), float("nan"))
    if count < FEWEST or values.nunique() < 2 or goodness.nunique() < 2:
        return {"trials": count, **blank}
    ranks = values.cat.codes if isinstance(values.dtype, pd.CategoricalDtype) else values
    first, second = ranks.to_numpy(np.float64), goodness.to_numpy(np.float64)
    low, high = bootstrap(
        (first, second),
        spearman,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    # One side is shuffled, not both: up to 6 trials all 720 orders are tried, and p is exact.
    test = permutation_test(
        (first,),
        lambda shuffled, axis: spearman(shuffled, second, axis),
        permutation_type="pairings",
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(_SEED),
    )
    found = (spearman(first, second), low, high, test.pvalue)
    return {"trials": count, **dict(zip(blank, map(float, found), strict=True))}


def spearman(first: ArrayLike, second: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Rank correlation along an axis; 0 where either side is constant, as in some resamples.

    SciPy's `spearmanr` does not vectorize over resamples.
    """
    ranks = [rankdata(values, axis=axis) for values in (first, second)]
    centred = [values - values.mean(axis=axis, keepdims=True) for values in ranks]
    products = (centred[0] * centred[1]).sum(axis=axis)
    sizes = np.sqrt((centred[0] ** 2).sum(axis=axis) * (centred[1] ** 2).sum(axis=axis))
    return np.asarray(np.divide(products, sizes, out=np.zeros_like(products), where=sizes > 0))
