"""Are wrong labels found? Flips some labels of a folder at random and audits it.

    python benchmarks/label_errors.py METU --shares 0.02 0.05 --seeds 3

Compares the classifiers whose out-of-fold predictions can be used: logistic regression on frozen
features, as `study audit` has it, and the default head as a trial trains it. Prints one line of
JSON per classifier, share and seed: recall of the flipped labels and precision among the images
that are suggested. `--sheet FILE` writes a contact sheet of the 24 most suspicious images under
their given labels.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from concrete_study.datasets.decoding import decode_image
from concrete_study.datasets.folders import Roots, locate
from concrete_study.datasets.loading import LoadingOptions, load_images
from concrete_study.datasets.progress import SILENT
from concrete_study.datasets.splits import SplitRow
from concrete_study.models.backbone import load_weights
from concrete_study.models.batch_sources import FeatureSource, JoinedSource, PartSource
from concrete_study.models.configuration import Configuration
from concrete_study.models.devices import prepare_devices
from concrete_study.models.features import FeatureStore
from concrete_study.models.precision import choose_precision
from concrete_study.models.trainable import Network
from concrete_study.results.label_issues import LabelIssue, find_label_issues
from concrete_study.search.cross_validation import FoldSources, cross_validate
from concrete_study.study.frozen_predictions import (
    audit_folds,
    frozen_features,
    predict_out_of_fold,
)

SIZE, EPOCHS = 112, 10
HEAD = Configuration(
    head_units=0,
    dropout=0.3,
    unfreeze_depth=0,
    head_learning_rate=1e-3,
    image_size=SIZE,
    feature_layers="block4+5",
    feature_scaling="square-root",
)


class Images:
    """All images of a folder but the test split, with their frozen features."""

    def __init__(self, folder: Path) -> None:
        data = load_images([folder], LoadingOptions(seed=1), SILENT)
        self.roots: Roots = data.folder.roots
        self.classes, self.rows = data.folder.classes, data.of("train") + data.of("validation")
        precision = choose_precision("auto")
        weights = load_weights("bundled")
        self.network = Network(weights, classes=len(self.classes), precision=precision)
        self.subsets = [data.subset(name) for name in ("train", "validation")]
        self.features = frozen_features(self.network, self.subsets, size=SIZE, progress=SILENT)
        self.labels = np.concatenate([subset.labels for subset in self.subsets])

    def issues(self, labels: NDArray[np.int32], classifier: str, seed: int) -> list[LabelIssue]:
        """The labels that are probably wrong, if the images have these."""
        names = [self.classes[label] for label in labels]
        rows = [row._replace(label=name) for row, name in zip(self.rows, names, strict=True)]
        folds, count = audit_folds(rows, seed=seed), len(self.classes)
        if classifier == "head":
            parts = np.split(labels, [len(self.subsets[0])])
            stores = [
                FeatureStore(
                    self.network,
                    replace(subset, labels=part),
                    ["block5_average", "block4_average"],
                    size=SIZE,
                )
                for subset, part in zip(self.subsets, parts, strict=True)
            ]
            whole = JoinedSource([FeatureSource(store, 1) for store in stores])
            sources = [
                FoldSources(PartSource(whole, f.train), PartSource(whole, f.validation))
                for f in folds
            ]
            trained = cross_validate(self.network, HEAD, sources, epochs=EPOCHS, seeds=[seed])
            found = np.zeros((len(labels), count))
            for fold, probabilities in zip(folds, trained.probabilities, strict=True):
                found[fold.validation] = probabilities
        else:
            found = predict_out_of_fold(self.features, labels, folds, classes=count)
        return find_label_issues(rows, self.classes, found, self.features)


def flip(
    labels: NDArray[np.int32], share: float, classes: int, seed: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Labels of which a share is replaced by another class at random, and their numbers."""
    random, flipped = np.random.default_rng(seed), labels.copy()
    chosen = random.choice(len(labels), round(share * len(labels)), replace=False)
    flipped[chosen] = (labels[chosen] + random.integers(1, classes, len(chosen))) % classes
    return flipped, chosen


def write_sheet(
    path: Path, roots: Roots, issues: Sequence[LabelIssue], *, columns: int = 6, side: int = 128
) -> None:
    """A contact sheet of images with their given and suggested labels."""
    rows = -(-len(issues) // columns)
    sheet = Image.new("RGB", (columns * (side + 4), rows * (side + 28)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, issue in enumerate(issues):
        x, y = number % columns * (side + 4), number // columns * (side + 28)
        pixels = decode_image(locate(roots, issue.file), side)
        sheet.paste(Image.fromarray(pixels), (x + 2, y + 2))
        text = f"{issue.rank}. {issue.label}\n{issue.file.rpartition('/')[2][:20]}"
        draw.text((x + 2, y + side + 2), text, fill="black", font_size=10)
    sheet.save(path, quality=80)


def main() -> None:
    """Prints one line per classifier, share and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shares", type=float, nargs="*", default=[0.02, 0.05])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--classifiers", nargs="+", default=["logistic regression", "head"])
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    prepare_devices()
    images = Images(given.folder)
    if given.sheet:
        issues = images.issues(images.labels, "logistic regression", 1)
        print(json.dumps({"labels": len(images.labels), "suggested": len(issues)}), flush=True)
        write_sheet(given.sheet, images.roots, issues[:24])
    for classifier in given.classifiers:
        for share in given.shares:
            for seed in range(1, given.seeds + 1):
                print(json.dumps(measure(images, classifier, share, seed)), flush=True)


def measure(images: Images, classifier: str, share: float, seed: int) -> dict[str, object]:
    """Recall and precision of one experiment, and the files that are suggested but not flipped."""
    labels, chosen = flip(images.labels, share, len(images.classes), seed)
    wrong: list[SplitRow] = [images.rows[number] for number in chosen]
    flipped = {row.file for row in wrong}
    suggested = [issue.file for issue in images.issues(labels, classifier, seed)]
    hits = flipped & set(suggested)
    return {
        "classifier": classifier,
        "share": share,
        "seed": seed,
        "labels": len(labels),
        "flipped": len(flipped),
        "suggested": len(suggested),
        "recall": len(hits) / max(len(flipped), 1),
        "precision": len(hits) / max(len(suggested), 1),
        "not_flipped": [file for file in suggested if file not in flipped],
    }


if __name__ == "__main__":
    main()
