"""Shortcuts: how well a property such as brightness or file size alone predicts the class."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from concrete_study.datasets.measures import Measured
from concrete_study.results.evaluation_records import Estimate
from concrete_study.results.metrics import Floats, Ranking, draw_groups, estimate
from concrete_study.results.records import Record

LIMIT = 0.7  # an interval above it is pointed out
_NO_JPEG = 101  # an image of another format ranks above every JPEG
PREDICTORS: dict[str, Callable[[Measured], float]] = {
    "brightness": lambda image: image.brightness,
    "contrast": lambda image: image.contrast,
    "sharpness": lambda image: image.sharpness,
    "saturation": lambda image: image.saturation,
    "file size": lambda image: image.bytes,
    "JPEG quality": lambda image: image.jpeg_quality or _NO_JPEG,
    "width x height": lambda image: image.width * image.height,
}


class Shortcut(Record, frozen=True, kw_only=True):
    """One property as the only predictor of the class."""

    predictor: str
    roc_auc: Estimate  # one-vs-rest mean for more than two classes; 0.5: no relation
    higher_in: str  # the class whose images have the highest values


def find_shortcuts(
    images: Sequence[Measured], groups: Sequence[str], classes: Sequence[str], positive: str | None
) -> list[Shortcut]:
    """ROC AUC of each property as the only predictor, with 95 % intervals by group bootstrap.

    Its direction is that which predicts better, for each class. It stays the same in all draws, so
    that the interval of an unrelated property includes 0.5.

    Args:
        images: Of at least two classes.
        groups: The group of each image; a group is drawn as a whole.
        classes: The names of the classes.
        positive: The positive class; None for the mean over one-vs-rest.
    """
    labels = np.array([image.label for image in images])
    compared = [positive] if positive else [name for name in classes if (labels == name).any()]
    predictors = {
        name: _Predictor(np.array([value(image) for image in images], np.float64), labels, compared)
        for name, value in PREDICTORS.items()
    }
    draws: dict[str, list[Floats]] = {name: [] for name in predictors}
    for weights in draw_groups(groups):
        for name, predictor in predictors.items():
            draws[name].append(predictor.areas(weights))
    found = []
    for name, predictor in predictors.items():
        (value,) = predictor.areas(np.ones((1, len(images))))
        if (area := estimate(float(value), np.concatenate(draws[name]))) is not None:
            highest = max(classes, key=predictor.mean_of)
            found.append(Shortcut(predictor=name, roc_auc=area, higher_in=highest))
    return sorted(found, key=lambda shortcut: -shortcut.roc_auc.value)


class _Predictor:
    """The values of one property as scores for each compared class, high or low ones."""

    def __init__(self, values: Floats, labels: NDArray[np.str_], compared: Sequence[str]) -> None:
        self.values, self.labels = values, labels
        once = np.ones((1, len(values)))
        self.rankings = []
        for label in compared:
            ranking = Ranking(labels == label, values)
            is_low = ranking.areas(once)[0][0] < 0.5
            self.rankings.append(Ranking(labels == label, -values) if is_low else ranking)

    def areas(self, weights: Floats) -> Floats:
        """ROC AUC of each draw, the mean over the compared classes that are drawn; else NaN."""
        with np.errstate(divide="ignore", invalid="ignore"):
            areas = np.array([ranking.areas(weights)[0] for ranking in self.rankings])
        known = ~np.isnan(areas)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.where(known, areas, 0).sum(axis=0) / known.sum(axis=0))

    def mean_of(self, label: str) -> float:
        """The mean value of a class; lowest for one without images."""
        chosen = self.values[self.labels == label]
        return float(chosen.mean()) if len(chosen) else -np.inf


def shortcuts_table(shortcuts: Sequence[Shortcut]) -> pd.DataFrame:
    """One row per property, the best predictor first; as `shortcuts.csv` has it.

    Columns: predictor, roc_auc, roc_auc_low, roc_auc_high, higher_in.
    """
    rows = [
        {
            "predictor": shortcut.predictor,
            "roc_auc": shortcut.roc_auc.value,
            "roc_auc_low": shortcut.roc_auc.low,
            "roc_auc_high": shortcut.roc_auc.high,
            "higher_in": shortcut.higher_in,
        }
        for shortcut in shortcuts
    ]
    return pd.DataFrame(rows)


def describe_shortcuts(shortcuts: Sequence[Shortcut]) -> str:
    """Which properties alone predict the class, and what follows from it."""
    strong = [s for s in shortcuts if s.roc_auc.low > LIMIT]
    if not strong:
        return f"No property alone predicts the class (no ROC AUC is significantly above {LIMIT})."
    names = ", ".join(
        f"{s.predictor} (ROC AUC {s.roc_auc.value:.2f}, {s.roc_auc.low:.2f} to "
        f"{s.roc_auc.high:.2f}; higher in {s.higher_in})"
        for s in strong
    )
    return (
        f"Possible shortcuts, each of which alone predicts the class: {names}. A model can score "
        "well on these images without recognizing what the classes are; evaluate it on images in "
        "which the classes do not differ in this."
    )
