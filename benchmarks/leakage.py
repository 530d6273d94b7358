"""Data leakage: errors of one linear probe under a random split and under a grouped split.

    python benchmarks/leakage.py FOLDER --seeds 5 --image-size 224

The probe is a logistic regression on pooled VGG16 features; it trains on 70 % of the images and is
tested on 15 %. The random split ignores near-duplicates, also byte-identical ones, like splits by
scikit-learn or Keras. Expected on metu-4000: 19 % of the test images of a random split have a
near-duplicate in train; docs/decisions/019-data-leakage.md.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from concrete_study.datasets.batches import subset_of
from concrete_study.datasets.loading import group_folder
from concrete_study.datasets.progress import SILENT
from concrete_study.datasets.reading import read_folders
from concrete_study.datasets.splits import DEFAULT_SHARES, SplitRow, split_images
from concrete_study.models.backbone import load_weights
from concrete_study.models.features import FeatureStore
from concrete_study.models.precision import choose_precision
from concrete_study.models.trainable import Network
from concrete_study.results.statistics import mean_interval

Indices = NDArray[np.int64]


class ProbeRun(NamedTuple):
    """One probe trained and tested on one split."""

    split: str  # random or grouped
    seed: int
    test_images: int
    leaked: int  # test images with a near-duplicate in train
    errors: int


def probe_leakage(
    root: Path, seeds: range, *, image_size: int = 224, precision: str = "auto"
) -> list[ProbeRun]:
    """Trains and tests the probe under one split of each kind per seed."""
    folder = read_folders({"": root})
    groups, conflicts = group_folder(folder, near_duplicates=True, split_by=None, progress=SILENT)
    excluded = {image for conflict in conflicts for image in conflict}
    images = [image for image in folder.images if image not in excluded]
    network = Network(
        load_weights("bundled", seed=1),
        classes=len(folder.classes),
        precision=choose_precision(precision),
    )
    rows = [SplitRow(i.file, i.label, "all", "", i.sha256) for i in images]
    subset = subset_of(folder.roots, rows, "all", folder.classes)
    store = FeatureStore(network, subset, ("block5_average",), size=image_size)
    store.compute_all([0], SILENT.counting)
    features = store.rows(0, "block5_average", np.arange(len(subset))).astype(np.float32)
    labels = np.array([image.label for image in images])
    group_of = np.array([groups[image.sha256] for image in images])
    index = {image.file: number for number, image in enumerate(images)}
    runs = []
    for seed in seeds:
        split = split_images(images, seed=seed, groups=groups)
        grouped = [
            np.array([index[row.file] for row in split if row.subset == name])
            for name in ("train", "test")
        ]
        for kind, (train, test) in {"random": _random(labels, seed), "grouped": grouped}.items():
            probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            probe.fit(features[train], labels[train])
            errors = int((probe.predict(features[test]) != labels[test]).sum())
            leaked = int(np.isin(group_of[test], group_of[train]).sum())
            runs.append(ProbeRun(kind, seed, len(test), leaked, errors))
    return runs


def _random(labels: NDArray[np.str_], seed: int) -> list[Indices]:
    train, _, test = DEFAULT_SHARES
    indices: list[Indices] = train_test_split(
        np.arange(len(labels)), train_size=train, test_size=test, stratify=labels, random_state=seed
    )
    return indices


def main() -> None:
    """Prints one row per kind of split: means over the seeds, and a 95 % interval of the error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5, help="splits of each kind, at least 2")
    parser.add_argument("--image-size", type=int, default=224)
    given = parser.parse_args()
    runs = pd.DataFrame(
        probe_leakage(given.folder, range(1, given.seeds + 1), image_size=given.image_size)
    )
    runs["leaked"] /= runs["test_images"]
    runs["error"] = runs.pop("errors") / runs["test_images"]
    table = runs.groupby("split", sort=False)[["test_images", "leaked", "error"]].mean()
    intervals = [mean_interval(list(runs["error"][runs["split"] == kind])) for kind in table.index]
    print(
        table.assign(
            interval=[f"{max(low, 0):.4f} to {high:.4f}" for low, high in intervals]
        ).round(4)
    )


if __name__ == "__main__":
    main()
