"""The mean of the best K trials against the best one: is it worth K trainings?

    python benchmarks/ensemble.py METU --tiles TILES --decks DECKS --seeds 9

For each seed, random configurations of the default space are trained with the recipe on a sample
of the training images, and ranked by the validation loss under shifts, as a search does. The mean
probabilities of the best 2, 4 and 8 are compared with those of the best one on images that no
choice has seen: the folder's own test split, asphalt tiles, and one photograph of a bridge deck;
and with the best one as `study best` calibrates it, which costs nothing. Prints one line of
JSON per seed and way, then the differences from the best one, paired over seeds.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from configurations import Sources, read_subsets, scores, stored_sources
from numpy.typing import NDArray
from scipy import stats

from concrete_study.datasets.batches import Subset
from concrete_study.datasets.shifts import SHIFTS
from concrete_study.models.backbone import load_weights
from concrete_study.models.batch_sources import PartSource
from concrete_study.models.configuration import Configuration
from concrete_study.models.devices import prepare_devices
from concrete_study.models.precision import choose_precision
from concrete_study.models.recipe import predict
from concrete_study.models.trainable import Network
from concrete_study.results.calibration import Scaling, fit_temperature
from concrete_study.search.training import DivergedError, train

SIZE, EPOCHS = 112, 10
SIZES = (2, 4, 8)  # of ensembles
OBJECTIVE = "val_shifted_loss"
UNSEEN = ("test", "tiles", "deck")

Probabilities = dict[str, NDArray[np.float32]]  # by subset or shift


class Trial(NamedTuple):
    """The validation loss under shifts of one configuration, and its predictions."""

    score: float
    probabilities: Probabilities


def main() -> None:
    """Prints one line per seed and way, and the mean differences with their 95 % intervals."""
    given = parse_arguments(__doc__)
    subsets = read_subsets(given.metu, given.tiles, given.decks, 600, 1)
    rows = []
    for found in search_seeds(given, subsets):
        for row in compare(found.trials, subsets):
            rows.append({"seed": found.seed, **row})
            print(json.dumps(rows[-1]), flush=True)
    print(differences(pd.DataFrame(rows)).to_markdown(index=False))


def parse_arguments(text: str) -> argparse.Namespace:
    """The folders of images, and the size of the experiment."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("metu", type=Path)
    parser.add_argument("--tiles", type=Path, required=True)
    parser.add_argument("--decks", type=Path, required=True)
    parser.add_argument("--images", type=int, default=300, help="training images of each seed")
    parser.add_argument("--count", type=int, default=22, help="configurations, as a search has")
    parser.add_argument("--depths", type=int, nargs="+", default=[0])
    parser.add_argument("--seeds", type=int, default=9)
    return parser.parse_args()


class Searched(NamedTuple):
    """The trials of one seed, the best one first, and what they were trained on."""

    seed: int
    trials: list[Trial]
    images: NDArray[np.int64]  # of the training images
    sources: Sources


def search_seeds(given: argparse.Namespace, subsets: dict[str, Subset]) -> Iterator[Searched]:
    """Yields what each seed gives."""
    prepare_devices()
    network = Network(load_weights("bundled"), classes=2, precision=choose_precision("auto"))
    layers = ["block5_average", "block4_average"]
    layers += ["block4_pool"] if max(given.depths) > 0 else []
    sources = stored_sources(network, subsets, layers, SIZE)
    for seed in range(given.seeds):
        random = np.random.default_rng(1000 + seed)
        images = np.sort(random.choice(len(subsets["train"]), given.images, replace=False))
        configurations = [draw(random, given.depths) for _ in range(given.count)]
        trials = run_trials(network, configurations, sources, images, seed)
        yield Searched(seed, trials, images, sources)


def draw(random: np.random.Generator, depths: list[int]) -> Configuration:
    """A random configuration of the default space."""
    return Configuration(
        head_units=int(random.choice([0, 64, 128, 256, 512])),
        dropout=float(random.uniform(0, 0.6)),
        unfreeze_depth=int(random.choice(depths)),
        head_learning_rate=float(10 ** random.uniform(-5, -2)),
        fine_tune_learning_rate=float(10 ** random.uniform(-6, -4)),
        image_size=SIZE,
        feature_layers=str(random.choice(["block5", "block4+5"])),
        feature_scaling="square-root",
    )


def run_trials(
    network: Network,
    configurations: list[Configuration],
    sources: Sources,
    images: NDArray[np.int64],
    seed: int,
) -> list[Trial]:
    """The trials that did not diverge, the best one first."""
    trials = []
    for configuration in configurations:
        try:
            outcome = train(
                network,
                configuration,
                epochs=EPOCHS,
                training=PartSource(sources["train"], images),
                validation=sources["validation"],
                seed=seed,
                objective=OBJECTIVE,
                shifted=[sources[shift] for shift in SHIFTS],
                on_outcome=lambda _: None,
            )
        except DivergedError:
            continue
        best = outcome.curve[outcome.best_epoch - 1]
        depth = configuration.unfreeze_depth if best.phase == 2 else 0
        part = network.trainable(configuration.architecture(depth))
        part.load(outcome.checkpoints["best"])
        found = {
            name: predict(part, sources[name], 64) for name in (*UNSEEN, "validation", *SHIFTS)
        }
        trials.append(Trial(best.val_shifted_loss or 0.0, found))
    return sorted(trials, key=lambda trial: trial.score)


def compare(trials: list[Trial], subsets: dict[str, Subset]) -> list[dict[str, float | str]]:
    """One row of scores per way: the best trial, the same calibrated, and each ensemble."""
    best = trials[0].probabilities
    versions = np.stack([best[name] for name in ("validation", *SHIFTS)])
    temperature = fit_temperature(versions, subsets["validation"].labels)
    cooled = Scaling.of_temperature(temperature, 2)
    ways: dict[str, dict[str, NDArray[np.floating]]] = {
        "best": dict(best),
        "best, calibrated": {name: cooled.apply(best[name]) for name in UNSEEN},
    }
    for size in SIZES:
        ways[f"mean of {size}"] = {
            name: np.mean([trial.probabilities[name] for trial in trials[:size]], axis=0)
            for name in UNSEEN
        }
    rows: list[dict[str, float | str]] = []
    for way, probabilities in ways.items():
        row: dict[str, float | str] = {"way": way}
        for name in UNSEEN:
            row |= scores(name, probabilities[name], subsets[name].labels)
        rows.append(row)
    return rows


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean difference from the best trial, by way and score, with its 95 % interval."""
    wide = rows.set_index(["seed", "way"]).unstack("way")
    table = []
    for score in (f"{name}_{kind}" for name in UNSEEN for kind in ("loss", "auc", "accuracy")):
        best = wide[score]["best"]
        row = {"score": score, "best": f"{best.mean():.4f}"}
        for way in wide[score].columns.drop("best"):
            paired = wide[score][way] - best
            error = stats.sem(paired) * stats.t.ppf(0.975, len(paired) - 1)
            low, high = paired.mean() - error, paired.mean() + error
            row[way] = f"{paired.mean():+.4f} ({low:+.4f} to {high:+.4f})"
        table.append(row)
    return pd.DataFrame(table)


if __name__ == "__main__":
    main()
