"""Temperatures of a model, and its adaptation by a few labels of another site.

    python benchmarks/calibration.py METU --tiles TILES --decks DECKS --seeds 9

For each seed the best of 22 random configurations, as in `ensemble.py`; its scores on images that
no choice has seen, as trained and with a temperature fitted in several ways; then each method of
`study adapt`, fitted to labelled images of the tiles (as many of each class, of as few photographs
as possible; scored on the others) or of the deck (in its own proportions), 10 draws each. Prints
means over seeds with 95 % intervals.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from configurations import read_subsets
from ensemble import Probabilities, Searched, parse_arguments, search_seeds
from next_site import SCORES, scores, split
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from concrete_study.datasets.batches import Subset
from concrete_study.datasets.progress import SILENT
from concrete_study.datasets.shifts import SHIFTS
from concrete_study.results.calibration import (
    HOTTEST,
    Scaling,
    fit_temperature,
)
from concrete_study.results.statistics import mean_interval
from concrete_study.study.adaptation_methods import Images, choose, fit_methods
from concrete_study.study.frozen_predictions import frozen_features

Row = tuple[str, str, dict[str, float]]  # way, images, scores
DRAWS = 10


def main() -> None:
    """Prints the table."""
    given = parse_arguments(__doc__)
    subsets = read_subsets(given.metu, given.tiles, given.decks, 600, 1)
    rows = []
    for found in search_seeds(given, subsets):
        best = found.trials[0].probabilities
        rows += [
            {"way": way, "images": name, "seed": found.seed, **result}
            for way, name, result in (*calibrations(best, subsets), *adaptations(found, subsets))
        ]
    print(table(pd.DataFrame(rows)).to_markdown(index=False))


def calibrations(best: Probabilities, subsets: dict[str, Subset]) -> Iterator[Row]:
    """Scores with the temperature of each way, and how they differ from those as trained."""
    labels = subsets["validation"].labels
    plain = best["validation"][None]
    shifted = np.stack([best[name] for name in ("validation", *SHIFTS)])
    temperatures = {
        "as trained": 1.0,
        "targets 0 and 1": lowest_loss(plain, labels),
        "targets 0 and 1, with shifts": lowest_loss(shifted, labels),
        "Platt's targets": fit_temperature(plain, labels),
        "Platt's targets, with shifts": fit_temperature(shifted, labels),
    }
    for name in ("test", "tiles", "deck"):
        before = scores(best[name], subsets[name].labels)
        for way, temperature in temperatures.items():
            cooled = Scaling.of_temperature(temperature, 2).apply(best[name])
            found = scores(cooled, subsets[name].labels)
            yield way, name, {**found, "loss_difference": found["loss"] - before["loss"]}


def lowest_loss(versions: NDArray[np.float32], labels: NDArray[np.integer]) -> float:
    """The temperature of the lowest log loss, as `fit_temperature` with targets 0 and 1."""
    truth = np.tile(labels, len(versions))

    def loss(log_temperature: float) -> float:
        cooled = Scaling.of_temperature(np.exp(log_temperature), 2)
        return scores(cooled.apply(np.concatenate(versions)), truth)["loss"]

    found = minimize_scalar(loss, bounds=(0.0, np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def adaptations(found: Searched, subsets: dict[str, Subset]) -> Iterator[Row]:
    """Mean scores of each method of adaptation, on photographs without a label."""
    best, random = found.trials[0].probabilities, np.random.default_rng
    old = images_of("train", found, subsets, np.zeros((len(subsets["train"]), 2), np.float32))
    for name, count in (("tiles", 10), ("tiles", 20), ("tiles", 50), ("tiles", 100), ("deck", 20)):
        site, rows = images_of(name, found, subsets, best[name]), []
        for draw in range(DRAWS):
            balanced = name == "tiles"
            labelled, rest = split(site, count, random([count, draw]), balanced=balanced)
            if labelled is None:
                continue
            fits = fit_methods(labelled, old.select(found.images), seed=draw)
            for method, fit in [*fits.items(), ("chosen", fits[choose(fits, labelled.labels)])]:
                after = scores(fit.adapted.probabilities(rest), rest.labels)
                before = scores(rest.probabilities, rest.labels)
                difference = after["loss"] - before["loss"]
                rows.append({"method": method, **after, "loss_difference": difference})
        for way, part in pd.DataFrame(rows).groupby("method", sort=False):
            means = part.drop(columns="method").mean()
            result = {str(score): float(value) for score, value in means.items()}
            yield f"{way}, {count} labels", name, result


def images_of(
    name: str, found: Searched, subsets: dict[str, Subset], probabilities: NDArray[np.float32]
) -> Images:
    """A subset as adaptation reads it; the tiles of one photograph are a group."""
    subset, store = subsets[name], found.sources[name].store
    features = frozen_features(store.network, [subset], size=store.size, progress=SILENT)
    files = [path.name for path in subset.paths]
    groups = [file.split("-")[0] if name == "tiles" else file for file in files]
    return Images(probabilities, features, subset.labels.astype(np.int64), groups)


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds with their intervals."""
    lines = []
    for (images, way), part in rows.groupby(["images", "way"], sort=False):
        line: dict[str, object] = {"images": images, "way": way}
        for name in (*SCORES, "loss_difference"):
            values = part[name].tolist()
            low, high = mean_interval(values)
            line[name] = f"{np.mean(values):.3f} ({low:.3f} to {high:.3f})"
        lines.append(line)
    return pd.DataFrame(lines)


if __name__ == "__main__":
    main()
