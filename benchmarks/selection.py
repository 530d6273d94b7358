"""What objectives and spaces are worth, from the table of `configurations.py`.

    python benchmarks/selection.py table.jsonl

Two tables in Markdown: how each objective ranks configurations by their scores on other images
(Spearman's correlation with a 95 % bootstrap interval), and the mean scores of what each objective
chooses among 22 random configurations, as many as a default search has, in several spaces.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from concrete_study.datasets.shifts import SHIFTS

TRIALS, DRAWS = 22, 1000
OBJECTIVES = {  # column -> 1 if a lower value is better
    "val_loss": 1,
    "validation_auc": -1,
    "shifted_loss": 1,
    "shifted_auc": -1,
    "scale_auc": -1,
}
GOALS = {"test_loss": 1, "tiles_auc": -1, "tiles_loss": 1, "deck_auc": -1, "deck_loss": 1}
SPACES: dict[str, Callable[[pd.DataFrame], "pd.Series[bool]"]] = {
    "all": lambda t: t["val_loss"] >= 0,
    "block5": lambda t: t["feature_layers"] == "block5",
    "block4+5": lambda t: t["feature_layers"] == "block4+5",
    "block3+4+5": lambda t: t["feature_layers"] == "block3+4+5",
    "none": lambda t: t["feature_scaling"] == "none",
    "square-root": lambda t: t["feature_scaling"] == "square-root",
    "standardised": lambda t: t["feature_scaling"] == "standardised",
    "block5, none": lambda t: SPACES["block5"](t) & SPACES["none"](t),
    "block5 or block4+5, square-root": lambda t: (
        ~SPACES["block3+4+5"](t) & SPACES["square-root"](t)
    ),
    "the same, label smoothing": lambda t: (
        SPACES["block5 or block4+5, square-root"](t) & (t["label_smoothing"] > 0)
    ),
    "the same, weight decay": lambda t: (
        SPACES["block5 or block4+5, square-root"](t) & (t["weight_decay"] > 0)
    ),
}


def main() -> None:
    """Prints both tables."""
    table = pd.concat([pd.read_json(Path(path), lines=True) for path in sys.argv[1:]])
    table = table[table["val_loss"].notna()].reset_index(drop=True)
    for kind in ("loss", "auc"):
        table[f"shifted_{kind}"] = table[[f"{name}_{kind}" for name in SHIFTS]].mean(axis=1)
    print(f"{len(table)} configurations\n")
    print(correlations(table).to_markdown(index=False), "\n")
    print(choices(table).to_markdown(index=False, floatfmt=".3f"))


def correlations(table: pd.DataFrame) -> pd.DataFrame:
    """Rank correlation of goodness by each objective with goodness by each goal."""
    random, rows = np.random.default_rng(1), []
    draws = [random.integers(len(table), size=len(table)) for _ in range(DRAWS)]
    for objective, sign in OBJECTIVES.items():
        row = {"objective": objective}
        for goal, other in GOALS.items():
            pair = sign * table[objective].to_numpy(), other * table[goal].to_numpy()
            found = spearmanr(*pair).statistic
            many = [spearmanr(pair[0][rows], pair[1][rows]).statistic for rows in draws]
            low, high = np.percentile(many, [2.5, 97.5])
            row[goal] = f"{found:.2f} ({low:.2f} to {high:.2f})"
        rows.append(row)
    return pd.DataFrame(rows)


def choices(table: pd.DataFrame) -> pd.DataFrame:
    """Mean scores of the best of 22 random configurations by each objective."""
    random, rows = np.random.default_rng(1), []
    for space, contains in SPACES.items():
        inside = table[contains(table)]
        size = min(TRIALS, len(inside) // 2)
        if size < 4:
            continue
        draws = [random.choice(len(inside), size, replace=False) for _ in range(DRAWS)]
        for objective in ("val_loss", "shifted_loss", "shifted_auc"):
            cost = OBJECTIVES[objective] * inside[objective].to_numpy()
            chosen = inside.iloc[[draw[cost[draw].argmin()] for draw in draws]]
            names = ["val_loss", *GOALS, "tiles_balanced"]
            start = {"space": space, "configurations": len(inside), "chosen by": objective}
            rows.append(start | chosen[names].mean().to_dict())
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
