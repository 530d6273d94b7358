"""Temperatures of the retrained model, and slope and offset from a few labels of another site.

    python benchmarks/calibration.py METU --tiles TILES --decks DECKS --seeds 9

For each seed the best of 22 random configurations, as in `ensemble.py`; its scores on images that
no choice has seen, as trained and with a temperature fitted in several ways; then, calibrated as
`study best` does it, after slope and offset are fitted to 20 or 100 labelled images of the tiles
(as many of each class, of as few photographs as possible; scored on the others), or 20 of the deck
(in its own proportions), 20 draws each. Prints means over seeds with 95 % intervals.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from configurations import read_subsets
from ensemble import Probabilities, parse_arguments, search_seeds
from next_site import SCORES, scores, split
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from concrete_study.datasets.batches import Subset
from concrete_study.datasets.shifts import SHIFTS
from concrete_study.results.calibration import (
    HOTTEST,
    Scaling,
    fit_scaling,
    fit_temperature,
)
from concrete_study.results.statistics import mean_interval
from concrete_study.study.adaptation_methods import Images

Row = tuple[str, str, dict[str, float]]  # way, images, scores
DRAWS = 20


def main() -> None:
    """Prints the table."""
    given = parse_arguments(__doc__)
    subsets = read_subsets(given.metu, given.tiles, given.decks, 600, 1)
    rows = []
    for seed, (first, *_) in search_seeds(given, subsets):
        best = first.probabilities
        rows += [
            {"way": way, "images": name, "seed": seed, **found}
            for way, name, found in (*calibrations(best, subsets), *adaptations(best, subsets))
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
            cooled = Scaling(1 / temperature, (0.0, 0.0)).apply(best[name])
            found = scores(cooled, subsets[name].labels)
            yield way, name, {**found, "loss_difference": found["loss"] - before["loss"]}


def lowest_loss(versions: NDArray[np.float32], labels: NDArray[np.integer]) -> float:
    """The temperature of the lowest log loss, as `fit_temperature` with targets 0 and 1."""
    truth = np.tile(labels, len(versions))

    def loss(log_temperature: float) -> float:
        cooled = Scaling(1 / np.exp(log_temperature), (0.0, 0.0))
        return scores(cooled.apply(np.concatenate(versions)), truth)["loss"]

    found = minimize_scalar(loss, bounds=(0.0, np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def adaptations(best: Probabilities, subsets: dict[str, Subset]) -> Iterator[Row]:
    """Mean scores after slope and offset from a few labels, on photographs without a label."""
    shifted = np.stack([best[name] for name in ("validation", *SHIFTS)])
    temperature = fit_temperature(shifted, subsets["validation"].labels)
    cooled = Scaling(1 / temperature, (0.0, 0.0))
    for name, count, balanced in (("tiles", 20, True), ("tiles", 100, True), ("deck", 20, False)):
        files, labels = [path.name for path in subsets[name].paths], subsets[name].labels
        groups = [file.split("-")[0] if balanced else file for file in files]
        cool = cooled.apply(best[name]).astype(np.float32)
        site = Images(cool, cool, labels.astype(np.int64), groups)
        found = []
        for number in range(DRAWS):
            random = np.random.default_rng([count, number])
            labelled, rest = split(site, count, random, balanced=balanced)
            if labelled is None:
                continue
            scaling = fit_scaling(labelled.probabilities, labelled.labels)
            after = scores(scaling.apply(rest.probabilities), rest.labels)
            before = scores(rest.probabilities, rest.labels)
            found.append({**after, "loss_difference": after["loss"] - before["loss"]})
        means = pd.DataFrame(found).mean()
        result = {str(score): float(value) for score, value in means.items()}
        yield f"slope and offset, {count} labels", name, result


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
