"""Data leakage of a random split: one probe, evaluated under a random and a grouped split."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from concrete_study.datasets.batches import subset_of
from concrete_study.datasets.errors import DataError
from concrete_study.datasets.folders import ImageFolder, LabelledImage
from concrete_study.datasets.splits import DEFAULT_SHARES, SplitRow, split_images
from concrete_study.models.backbone import load_weights
from concrete_study.models.devices import memory_errors, prepare_devices
from concrete_study.models.features import FeatureStore
from concrete_study.models.precision import choose_precision
from concrete_study.models.trainable import Network
from concrete_study.results.leakage import ProbeRun
from concrete_study.results.records import SearchOptions
from concrete_study.search.grouping import group_folder
from concrete_study.search.options import check
from concrete_study.search.progress import Progress
from concrete_study.search.reading import read_images

RANDOM, GROUPED = "random", "grouped"


def probe_leakage(
    options: SearchOptions, seeds: Sequence[int], progress: Progress
) -> list[ProbeRun]:
    """Trains a logistic regression on frozen features under both kinds of split.

    The random split ignores near-duplicates, even exact ones, as scikit-learn's and Keras'
    functions do. Both train on 70 % of the images and test on 15 %.

    Args:
        options: `data` (one folder), image size and precision.
        seeds: One split of each kind per seed.
        progress: Receives messages and progress.

    Raises:
        DataError: If the folder cannot be studied.
    """
    check(options)
    prepare_devices()
    folder = read_images({"": Path(options.data[0])}, progress)
    grouping = group_folder(folder, options, progress)
    images = grouping.without_conflicts(folder)
    _require_enough(folder.classes, images)
    features = _pooled(folder, images, options, progress)
    index = {image.file: number for number, image in enumerate(images)}
    labels = np.array([image.label for image in images])
    groups = np.array([grouping.groups[image.sha256] for image in images])
    runs = []
    for seed in seeds:
        for kind, (train, test) in {
            RANDOM: _random_split(labels, seed),
            GROUPED: _grouped_split(images, grouping.groups, index, seed),
        }.items():
            probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            probe.fit(features[train], labels[train])
            errors = int((probe.predict(features[test]) != labels[test]).sum())
            leaked = int(np.isin(groups[test], groups[train]).sum())
            runs.append(ProbeRun(kind, seed, len(test), leaked, errors))
    return runs


def _require_enough(classes: Sequence[str], images: Sequence[LabelledImage]) -> None:
    """Both splits need a test image of every class."""
    counts = Counter(image.label for image in images)
    fewest, needed = min(classes, key=counts.__getitem__), math.ceil(1 / DEFAULT_SHARES[2])
    if counts[fewest] < needed:
        raise DataError(
            f"Class {fewest} has too few images to compare splits.",
            f"Expected at least {needed}, one of them for the test; found {counts[fewest]}.",
            "a larger folder.",
        )


def _pooled(
    folder: ImageFolder,
    images: Sequence[LabelledImage],
    options: SearchOptions,
    progress: Progress,
) -> NDArray[np.float32]:
    """Pooled features of the unaugmented images, of shape (images, 512), from the cache."""
    rows = [SplitRow(i.file, i.label, "all", "", i.sha256) for i in images]
    network = Network(
        load_weights(options.weights, seed=options.seed),
        size=options.image_size,
        classes=len(folder.classes),
        precision=choose_precision(options.precision),
    )
    subset = subset_of(folder.roots, rows, "all", folder.classes)
    store = FeatureStore(network, subset, ("pooled",))
    with memory_errors():
        store.compute_all(1, progress.counting)
    return store.rows(0, "pooled", np.arange(len(subset))).astype(np.float32)


def _random_split(
    labels: NDArray[np.str_], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    train_share, _, test_share = DEFAULT_SHARES
    train, test = train_test_split(
        np.arange(len(labels)),
        train_size=train_share,
        test_size=test_share,
        stratify=labels,
        random_state=seed,
    )
    return train, test


def _grouped_split(
    images: Sequence[LabelledImage], groups: Mapping[str, str], index: Mapping[str, int], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows = split_images(images, seed=seed, groups=groups)
    train, test = (
        np.array([index[row.file] for row in rows if row.subset == subset])
        for subset in ("train", "test")
    )
    return train, test
