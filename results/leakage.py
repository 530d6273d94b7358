"""Errors of the probe under a random and a grouped split, as one table."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from concrete_study.results.statistics import mean_interval


class ProbeRun(NamedTuple):
    """One probe, trained and evaluated on one split."""

    split: str  # the kind of split
    seed: int
    test_images: int
    leaked: int  # test images with a near-duplicate among the training images
    errors: int


def leakage_table(runs: Sequence[ProbeRun]) -> pd.DataFrame:
    """One row per kind of split, in the order of their first run.

    Columns: split, seeds (how many), test_images (mean), leaked and error (shares in
    [0, 1], means over the seeds), error_low and error_high (95 % interval of the mean error
    over seeds; the seeds share images, so it covers the choice of the split, not of the
    images).
    """
    rows = []
    for split in dict.fromkeys(run.split for run in runs):
        chosen = [run for run in runs if run.split == split]
        errors = [run.errors / run.test_images for run in chosen]
        interval = mean_interval(errors)
        rows.append(
            {
                "split": split,
                "seeds": len(chosen),
                "test_images": round(sum(run.test_images for run in chosen) / len(chosen)),
                "leaked": sum(run.leaked / run.test_images for run in chosen) / len(chosen),
                "error": sum(errors) / len(errors),
                "error_low": max(interval.low, 0.0),
                "error_high": min(interval.high, 1.0),
            }
        )
    return pd.DataFrame(rows)
