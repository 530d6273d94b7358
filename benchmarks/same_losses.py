"""Trials on stored features and the same trials on images, at full size.

    python benchmarks/same_losses.py --data METU --images 60

Trains each unfreeze depth from 0 to 3 in float32 twice, from float16 features and from images of
the same views through the whole network, and prints the validation losses as JSON lines.
Expected: the same to within float16's rounding, some 0.1 %.
"""

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from contenders import link_images

from concrete_study.datasets.batches import subset_of
from concrete_study.datasets.folders import read_folder
from concrete_study.datasets.splits import split_images
from concrete_study.models.backbone import load_weights
from concrete_study.models.batch_sources import BatchSource, FeatureSource, ImageSource
from concrete_study.models.configuration import Configuration
from concrete_study.models.features import FeatureStore
from concrete_study.models.network import BLOCK5_FEATURE_LAYERS
from concrete_study.models.precision import choose_precision
from concrete_study.models.trainable import Network
from concrete_study.search.training import train

EPOCHS, VIEWS = 4, 2


def main() -> None:
    """One line per depth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--size", type=int, default=224)
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        link_images(arguments.data, Path(name) / "images", arguments.images, seed=1)
        folder = read_folder(Path(name) / "images")
        rows = split_images(folder.images, seed=1)
        precision = choose_precision("float32")
        network = Network(load_weights("bundled"), classes=2, precision=precision)
        subsets = [
            subset_of(folder.roots, rows, subset, folder.classes)
            for subset in ("train", "validation")
        ]
        live = [
            ImageSource(network, subset, size=arguments.size, views=VIEWS) for subset in subsets
        ]
        layers = ("block5_average", *BLOCK5_FEATURE_LAYERS)
        stored = []
        for subset, views in zip(subsets, (VIEWS, 1), strict=True):
            store = FeatureStore(network, subset, layers, size=arguments.size)
            for view in range(views):
                store.compute(view)
            stored.append(FeatureSource(store, views))
        for depth in range(4):
            losses = [validation_loss(network, depth, *sources) for sources in (stored, live)]
            difference = abs(losses[0] / losses[1] - 1)
            line = {"depth": depth, "features": losses[0], "images": losses[1]}
            print(json.dumps(line | {"difference": difference}), flush=True)


def validation_loss(
    network: Network, depth: int, training: BatchSource, validation: BatchSource
) -> float:
    """The loss after the last epoch of one configuration."""
    configuration = Configuration(
        head_units=64,
        dropout=0.3,
        unfreeze_depth=depth,
        head_learning_rate=1e-3,
        fine_tune_learning_rate=1e-5,
    )
    outcome = train(
        network, configuration, epochs=EPOCHS, training=training, validation=validation, seed=1
    )
    return outcome.curve[-1].val_loss


if __name__ == "__main__":
    main()
