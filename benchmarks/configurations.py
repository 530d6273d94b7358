"""Random configurations, each with its validation scores and its scores out of distribution.

    python benchmarks/configurations.py METU --tiles TILES --decks DECKS --count 200 > table.jsonl

Each configuration is trained with the recipe on a part of a folder of concrete images, from stored
features. A line has its hyperparameters, its scores on the validation images, unchanged and under
each shift, on the folder's own test split, and on other domains: asphalt tiles and one photograph
of a bridge deck, which no choice may look at. What an objective or a space is worth follows from
such a table: `benchmarks/selection.py`.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from concrete_study.datasets.batches import Subset, subset_of
from concrete_study.datasets.folders import read_folder
from concrete_study.datasets.loading import LoadingOptions, load_images
from concrete_study.datasets.progress import SILENT
from concrete_study.datasets.shifts import SHIFTS
from concrete_study.datasets.splits import SplitRow
from concrete_study.models.backbone import load_weights
from concrete_study.models.batch_sources import FeatureSource
from concrete_study.models.configuration import Configuration
from concrete_study.models.devices import prepare_devices
from concrete_study.models.features import FeatureStore
from concrete_study.models.network import feature_layers_of
from concrete_study.models.precision import choose_precision
from concrete_study.models.recipe import predict
from concrete_study.models.trainable import Network
from concrete_study.results.records import Epoch
from concrete_study.results.statistics import log_loss
from concrete_study.search.training import DivergedError, train

EPOCHS, VIEWS = 10, 3
Sources = dict[str, FeatureSource]


def main() -> None:
    """Prints one line of JSON per configuration."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("metu", type=Path)
    parser.add_argument("--tiles", type=Path, required=True)
    parser.add_argument("--decks", type=Path, required=True)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=[112, 160, 224])
    parser.add_argument("--depths", type=int, nargs="+", default=[0])
    given = parser.parse_args()
    prepare_devices()
    subsets = read_subsets(given.metu, given.tiles, given.decks, given.images, given.seed)
    network = Network(load_weights("bundled"), classes=2, precision=choose_precision("auto"))
    sources = {size: compute_features(network, subsets, size, given.depths) for size in given.sizes}
    for configuration in draw(given.count, given.seed, given.sizes, given.depths):
        line = {"seed": given.seed, **vars(configuration)}
        line |= measure(network, configuration, sources[configuration.image_size], given.seed)
        print(json.dumps(line), flush=True)


def read_subsets(metu: Path, tiles: Path, decks: Path, images: int, seed: int) -> dict[str, Subset]:
    """Training, validation and test images of one folder, and two other domains."""
    data = load_images([metu], LoadingOptions(seed=seed), SILENT)
    part = data.part(images, seed=seed)
    other = {"tiles": read_folder(tiles), "deck": read_folder(decks)}
    found = {name: part.subset(name) for name in ("train", "validation")}
    found["test"] = data.subset("test")
    for name, folder in other.items():
        rows = [
            SplitRow(image.file, image.label, name, "", image.sha256)
            for image in folder.images
            # The only photograph of a deck with both classes.
            if name != "deck" or Path(image.file).name.startswith("7001-")
        ]
        found[name] = subset_of(folder.roots, rows, name, folder.classes)
    return found


def compute_features(
    network: Network, subsets: dict[str, Subset], size: int, depths: list[int]
) -> Sources:
    """Stored features of all subsets, and of the validation images under each shift."""
    layers = {
        layer
        for depth in {0, *depths}
        for blocks in ("block3+4+5",)
        for layer in feature_layers_of(
            replace(NOTHING, feature_layers=blocks, unfreeze_depth=depth).architecture(depth)
        )
    }
    return stored_sources(network, subsets, sorted(layers), size)


def stored_sources(
    network: Network, subsets: dict[str, Subset], layers: Sequence[str], size: int
) -> Sources:
    """Stored features by subset, and by shift those of the validation images under it."""
    sources = {}
    for name, subset in subsets.items():
        store = FeatureStore(network, subset, layers, size=size)
        views = VIEWS if name == "train" else 1
        shifts = list(SHIFTS) if name == "validation" else []
        store.compute_all([*range(views), *shifts], SILENT.counting)
        sources[name] = FeatureSource(store, views)
        sources |= {shift: FeatureSource(store, 1, shift=shift) for shift in shifts}
    return sources


NOTHING = Configuration(head_units=0, dropout=0.0, unfreeze_depth=0, head_learning_rate=0.0)


def draw(count: int, seed: int, sizes: list[int], depths: list[int]) -> Iterator[Configuration]:
    """Random configurations of the default space and of what widens it."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        yield Configuration(
            head_units=int(random.choice([0, 64, 128, 256, 512])),
            dropout=float(random.uniform(0, 0.6)),
            unfreeze_depth=int(random.choice(depths)),
            head_learning_rate=float(10 ** random.uniform(-5, -2)),
            fine_tune_learning_rate=float(10 ** random.uniform(-6, -4)),
            image_size=int(random.choice(sizes)),
            feature_layers=str(random.choice(["block5", "block4+5", "block3+4+5"])),
            feature_scaling=str(random.choice(["none", "square-root", "standardised"])),
            weight_decay=float(random.choice([0, 10 ** random.uniform(-1, 1.5)])),
            label_smoothing=float(random.choice([0, 0.05, 0.1])),
        )


def measure(
    network: Network, configuration: Configuration, sources: Sources, seed: int
) -> dict[str, float]:
    """The scores of a configuration at the epoch of its lowest validation loss."""
    start, found = time.perf_counter(), {"val_loss": np.inf}

    def evaluate(epoch: Epoch) -> None:
        if epoch.val_loss >= found["val_loss"]:
            return
        found.update(epoch=epoch.epoch, val_loss=epoch.val_loss)
        depth = configuration.unfreeze_depth if epoch.phase == 2 else 0
        part = network.trainable(configuration.architecture(depth))
        for name, source in sources.items():
            if name != "train":
                found.update(scores(name, predict(part, source, 64), source.subset.labels))

    try:
        train(
            network,
            configuration,
            epochs=EPOCHS,
            training=sources["train"],
            validation=sources["validation"],
            seed=seed,
            on_epoch=evaluate,
        )
    except DivergedError:
        return {"diverged": 1}
    return found | {"seconds": time.perf_counter() - start}


def scores(
    name: str, probabilities: NDArray[np.float32], labels: NDArray[np.int32]
) -> dict[str, float]:
    """Log loss in nats, ROC AUC, accuracy and balanced accuracy of one subset."""
    predicted = probabilities.argmax(1)
    recalls = [float((predicted[labels == label] == label).mean()) for label in (0, 1)]
    return {
        f"{name}_loss": log_loss(probabilities, labels),
        f"{name}_auc": float(roc_auc_score(labels, probabilities[:, 1])),
        f"{name}_accuracy": float((predicted == labels).mean()),
        f"{name}_balanced": sum(recalls) / 2,
    }


if __name__ == "__main__":
    main()
