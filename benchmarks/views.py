"""What new augmented views in every epoch are worth over stored ones, in a retraining.

    python benchmarks/views.py METU --images 600 --seeds 5

Ten epochs with ten views are a retraining on new views; fewer are reused in turn. One line of JSON
per seed and unfreeze depth: the test loss at the epoch of the lowest validation loss by the number
of views; then the mean difference from ten views, paired, with its 95 % interval.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import stats

from concrete_study.datasets.loading import LoadingOptions, load_images
from concrete_study.datasets.progress import SILENT
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
from concrete_study.search.training import train

SIZE, EPOCHS = 112, 10


def main() -> None:
    """Prints test losses and their paired differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("metu", type=Path)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--depths", type=int, nargs="+", default=[0, 3])
    parser.add_argument("--views", type=int, nargs="+", default=[1, 3, 5, 10])
    given = parser.parse_args()
    prepare_devices()
    data = load_images([given.metu], LoadingOptions(seed=1), SILENT)
    part = data.part(given.images, seed=1)
    subsets = part.subset("train"), part.subset("validation"), data.subset("test")
    network = Network(load_weights("bundled"), classes=2, precision=choose_precision("auto"))
    for depth in given.depths:
        layers = {n for d in (0, depth) for n in feature_layers_of(tried(depth).architecture(d))}
        stores = [FeatureStore(network, s, sorted(layers), size=SIZE) for s in subsets]
        for store, views in zip(stores, (EPOCHS, 1, 1), strict=True):
            store.compute_all(range(views), SILENT.counting)
        losses = []
        for seed in range(1, given.seeds + 1):
            row = {views: test_loss(network, stores, depth, views, seed) for views in given.views}
            losses.append(row)
            print(json.dumps({"depth": depth, "seed": seed, "test_loss": row}), flush=True)
        for views in given.views[:-1]:
            differences = [row[views] - row[given.views[-1]] for row in losses]
            mean, error = float(np.mean(differences)), float(stats.sem(differences))
            low, high = mean + error * np.array(stats.t.interval(0.95, len(losses) - 1))
            line = {"depth": depth, "views": views, "difference": mean, "low": low, "high": high}
            print(json.dumps(line), flush=True)


def tried(depth: int) -> Configuration:
    """A configuration such as searches choose."""
    return Configuration(
        head_units=128,
        dropout=0.3,
        unfreeze_depth=depth,
        head_learning_rate=1e-3,
        fine_tune_learning_rate=1e-5,
        image_size=SIZE,
        feature_layers="block4+5",
        feature_scaling="square-root",
    )


def test_loss(
    network: Network, stores: list[FeatureStore], depth: int, views: int, seed: int
) -> float:
    """The test loss at the epoch of the lowest validation loss."""
    training = FeatureSource(stores[0], views)
    validation, test = (FeatureSource(store, 1) for store in stores[1:])
    best, found = np.inf, np.nan

    def evaluate(epoch: Epoch) -> None:
        nonlocal best, found
        if epoch.val_loss < best:
            part = network.trainable(tried(depth).architecture(depth if epoch.phase == 2 else 0))
            best = epoch.val_loss
            found = log_loss(predict(part, test, 64), test.subset.labels)

    train(
        network,
        tried(depth),
        epochs=EPOCHS,
        training=training,
        validation=validation,
        seed=seed,
        on_epoch=evaluate,
    )
    return float(found)


if __name__ == "__main__":
    main()
