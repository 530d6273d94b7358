"""Cross-validation against a single split: which chooses the better configuration?

    python benchmarks/folds.py METU --images 240 --seeds 10

For each seed, a sample of the training images is searched twice by the same random configurations
of the head: by the loss of a single split, and by the mean loss of five folds. Both winners are
retrained on the single split, as `study best` does, and tested on the folder's own test split,
which neither has seen. Prints one line of JSON per seed, then the paired difference.
"""

import argparse
import json
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from configurations import draw
from scipy import stats

from concrete_study.datasets.folds import Fold, make_folds
from concrete_study.datasets.loading import LoadingOptions, StudyData, load_images
from concrete_study.datasets.progress import SILENT
from concrete_study.models.backbone import load_weights
from concrete_study.models.batch_sources import FeatureSource, PartSource
from concrete_study.models.configuration import Configuration
from concrete_study.models.devices import prepare_devices
from concrete_study.models.features import FeatureStore
from concrete_study.models.network import feature_layers_of
from concrete_study.models.precision import choose_precision
from concrete_study.models.recipe import predict
from concrete_study.models.trainable import Network
from concrete_study.results.statistics import log_loss
from concrete_study.search.cross_validation import CrossValidated, FoldSources, cross_validate
from concrete_study.search.training import train

SIZE, VIEWS, EPOCHS, FOLDS = 112, 3, 10, 5
Sources = tuple[FeatureSource, FeatureSource]  # of training and of test images


def main() -> None:
    """Prints one line per seed, and the mean difference with its 95 % interval."""
    given = arguments(__doc__, count=20, seeds=10)
    network, part, sources = prepare(given.metu, given.pool)
    lines = []
    for seed in range(1, given.seeds + 1):
        lines.append(compare(network, sources, part, given.images, given.count, seed))
        print(json.dumps(lines[-1]), flush=True)
    for name in ("test_loss", "gap"):
        differences = [line["folds"][name] - line["split"][name] for line in lines]
        mean, error = np.mean(differences), stats.sem(differences)
        low, high = mean + error * np.array(stats.t.interval(0.95, len(lines) - 1))
        print(json.dumps({"difference": name, "mean": mean, "low": low, "high": high}))
    within = {way: sum(line[way]["within"] for line in lines) for way in ("folds", "split")}
    print(json.dumps({"within_two_standard_errors": within, "of": len(lines)}))


def arguments(about: str, *, count: int, seeds: int) -> argparse.Namespace:
    """The command line of a comparison of folds, with its defaults."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("metu", type=Path)
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--pool", type=int, default=600, help="images that samples come from")
    parser.add_argument("--count", type=int, default=count, help="configurations")
    parser.add_argument("--seeds", type=int, default=seeds)
    return parser.parse_args()


def prepare(metu: Path, pool: int) -> tuple[Network, StudyData, Sources]:
    """The network, a part of the images, and features of its training and of all test images."""
    prepare_devices()
    data = load_images([metu], LoadingOptions(seed=1), SILENT)
    part = data.part(pool, seed=1)
    network = Network(load_weights("bundled"), classes=2, precision=choose_precision("auto"))
    layers = sorted(feature_layers_of(WIDEST.architecture(0)))
    training = FeatureStore(network, part.subset("train"), layers, size=SIZE)
    test = FeatureStore(network, data.subset("test"), layers, size=SIZE)
    training.compute_all(range(VIEWS), SILENT.counting)
    test.compute_all([0], SILENT.counting)
    return network, part, (FeatureSource(training, VIEWS), FeatureSource(test, 1))


WIDEST = Configuration(
    head_units=0,
    dropout=0.0,
    unfreeze_depth=0,
    head_learning_rate=0.0,
    image_size=SIZE,
    feature_layers="block3+4+5",
)


def sample_folds(part: StudyData, images: int, seed: int, *, folds: int = FOLDS) -> list[Fold]:
    """Folds of a random sample of the training images, as their numbers."""
    pool = part.of("train")
    numbers = np.sort(np.random.default_rng(seed).choice(len(pool), images, replace=False))
    rows = [pool[number] for number in numbers]
    return [
        Fold(numbers[fold.train], numbers[fold.validation])
        for fold in make_folds(rows, folds=folds, seed=seed)
    ]


def draw_heads(count: int, seed: int) -> list[Configuration]:
    """Random configurations of the head."""
    return [
        replace(c, feature_scaling="square-root", weight_decay=0.0, label_smoothing=0.0)
        for c in draw(10 * count, seed, [SIZE], [0])
        if c.feature_layers != "block3+4+5"
    ][:count]


def compare(
    network: Network,
    sources: Sources,
    part: StudyData,
    images: int,
    count: int,
    seed: int,
) -> dict[str, dict[str, float]]:
    """The retrained winner of each way of choosing, and what its score promised."""
    folds = sample_folds(part, images, seed)
    (split, *_) = sample_folds(part, images, seed, folds=6)
    configurations = draw_heads(count, seed)
    found = {}
    for way, parts in (("split", [split]), ("folds", folds)):
        start = time.perf_counter()
        results = [
            cross_validate(
                network,
                configuration,
                [fold_of(sources[0], p) for p in parts],
                epochs=EPOCHS,
                seeds=[seed],
            )
            for configuration in configurations
        ]
        seconds = (time.perf_counter() - start) / count
        best = min(range(count), key=lambda n: score_of(results[n]))
        found[way] = {"seconds": seconds, "score": score_of(results[best])}
        found[way] |= {"standard_error": results[best].standard_error or math.nan}
        found[way] |= retrain(network, configurations[best], sources, split, seed)
        gap = abs(found[way]["test_loss"] - found[way]["score"])
        found[way] |= {"gap": gap, "within": gap <= 2 * found[way]["standard_error"]}
    return found


def fold_of(source: FeatureSource, fold: Fold) -> FoldSources:
    """The batches of one fold."""
    return FoldSources(PartSource(source, fold.train), PartSource(source, fold.validation))


def score_of(result: CrossValidated) -> float:
    """The validation loss at the best epoch."""
    return result.curve[result.best_epoch - 1].val_loss


def retrain(
    network: Network,
    configuration: Configuration,
    sources: Sources,
    split: Fold,
    seed: int,
) -> dict[str, float]:
    """Test loss of the epoch with the lowest validation loss."""
    fold = fold_of(sources[0], split)
    outcome = train(
        network,
        configuration,
        epochs=EPOCHS,
        training=fold.training,
        validation=fold.validation,
        seed=seed,
        on_outcome=lambda _: None,
    )
    trainable = network.trainable(configuration.architecture(0))
    trainable.load(outcome.checkpoints["best"])
    probabilities = predict(trainable, sources[1], 64)
    return {"test_loss": log_loss(probabilities, sources[1].subset.labels)}


if __name__ == "__main__":
    main()
