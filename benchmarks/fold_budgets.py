"""How many folds a low rung needs: which ranks configurations best for its cost?

    python benchmarks/fold_budgets.py METU --images 240 --seeds 5

For each seed, random configurations of the head are trained on every fold of a sample of the
training images for 2, 4 and 10 epochs. Each of the 2- and 4-epoch rungs is scored by its first
1, 2, 3 and 5 folds; compared with the mean test loss of the five models of 10 epochs, on the
folder's own test split. Prints, as means over the seeds with their standard errors: the rank
correlation (Spearman), and the test loss of the configuration that is chosen if the best third
is promoted to 10 epochs and five folds.
"""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pandas as pd
from folds import FOLDS, arguments, draw_heads, fold_of, prepare, sample_folds
from numpy.typing import NDArray
from scipy import stats

from concrete_study.models.configuration import Configuration
from concrete_study.models.recipe import train_epochs
from concrete_study.models.trainable import Network
from concrete_study.results.statistics import log_loss
from concrete_study.search.cross_validation import FoldSources

TOP, RUNGS, COUNTS = 10, (2, 4), (1, 2, 3, 5)


def main() -> None:
    """Prints one row per rung and number of folds."""
    given = arguments(__doc__, count=22, seeds=5)
    network, part, sources = prepare(given.metu, given.pool)
    rows = defaultdict[tuple[int, int], list[tuple[float, float]]](list)
    for seed in range(1, given.seeds + 1):
        parts = [
            fold_of(sources[0], fold)._replace(shifted=(sources[1],))
            for fold in sample_folds(part, given.images, seed)
        ]
        heads = draw_heads(given.count, seed)
        for key, value in compare(network, heads, parts, seed).items():
            rows[key].append(value)
        print(f"seed {seed} done", flush=True)
    print(summary(rows).to_string(index=False))


def summary(rows: Mapping[tuple[int, int], list[tuple[float, float]]]) -> pd.DataFrame:
    """Means over the seeds with their standard errors."""
    names = "spearman", "test loss"
    return pd.DataFrame(
        {"epochs": epochs, "folds": folds, "cost": epochs * folds}
        | {
            name: f"{np.mean(values):.4f} ± {stats.sem(values):.4f}"
            for name, values in zip(names, zip(*found, strict=True), strict=True)
        }
        for (epochs, folds), found in rows.items()
    )


def compare(
    network: Network, configurations: list[Configuration], parts: list[FoldSources], seed: int
) -> dict[tuple[int, int], tuple[float, float]]:
    """By epochs and number of folds: the rank correlation, and the test loss of the chosen one."""
    curves = {
        epochs: np.array([losses(network, c, parts, epochs, seed) for c in configurations])
        for epochs in (*RUNGS, TOP)
    }
    means = curves[TOP].mean(axis=1)  # (configurations, epochs, validation and test)
    best = means[:, :, 0].argmin(axis=1)
    top, test = means[np.arange(len(means)), best].T
    found = {}
    for epochs, folds in [*((e, k) for e in RUNGS for k in COUNTS), (TOP, FOLDS)]:
        scores = curves[epochs][:, :folds, :, 0].mean(axis=1).min(axis=1)
        promoted = np.argsort(scores)[: -(-len(scores) // 3)]
        chosen = promoted[top[promoted].argmin()]
        found[epochs, folds] = float(stats.spearmanr(scores, test).statistic), float(test[chosen])
    return found


def losses(
    network: Network,
    configuration: Configuration,
    parts: list[FoldSources],
    epochs: int,
    seed: int,
) -> NDArray[np.float64]:
    """Validation and test loss of each epoch of each fold, shape (folds, epochs, 2)."""
    curves = [
        [
            (
                log_loss(epoch.probabilities, part.validation.subset.labels),
                log_loss(epoch.shifted[0], part.shifted[0].subset.labels),
            )
            for epoch in train_epochs(
                network,
                configuration,
                epochs=epochs,
                training=part.training,
                validation=part.validation,
                shifted=part.shifted,
                seed=seed,
            )
        ]
        for part in parts
    ]
    return np.array(curves)


if __name__ == "__main__":
    main()
