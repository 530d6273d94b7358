"""Audit of a folder of images: sizes, brightness, near-duplicates, label conflicts, outliers."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from concrete_study.datasets.duplicates import Pair
from concrete_study.datasets.folders import Fault, ImageFolder, LabelledImage
from concrete_study.datasets.groups import conflicting_groups, group_images, group_members
from concrete_study.datasets.measures import Measured, measure_images
from concrete_study.datasets.tree import Ignored

Measure: TypeAlias = Literal["brightness", "sharpness"]
OUTLIER_SCORE = 3.5
NORMAL_MAD = 0.6745  # median absolute deviation of the standard normal distribution


@dataclass(frozen=True)
class Outlier:
    """An image whose brightness or sharpness is unusual for its class."""

    file: str
    measure: Measure
    value: float
    median: float  # of the class
    score: float  # modified z-score, beyond OUTLIER_SCORE either way


_SCALES: dict[Measure, Callable[..., NDArray[np.float64]]] = {
    "brightness": np.asarray,
    "sharpness": np.log1p,
}


class Audit(NamedTuple):
    """The results of an audit; groups and conflicts are lists of files."""

    images: list[Measured]
    faults: list[Fault]
    exact: list[list[str]]  # exact duplicates: byte-identical files
    near: list[list[str]]  # near-duplicates, including exact ones
    pairs: list[tuple[str, str, float]]  # near-duplicates of different content, and correlation
    conflicts: list[list[str]]  # near-duplicates in several classes
    outliers: list[Outlier]
    ignored: list[Ignored]
    notes: list[str]  # on a layout that is more than class folders

    def counts(self) -> dict[str, int]:
        """Images by class."""
        return dict(sorted(Counter(image.label for image in self.images).items()))


def audit_folder(
    folder: ImageFolder, pairs: Sequence[Pair], *, on_image: Callable[[], None] = lambda: None
) -> Audit:
    """Measures every image; lists near-duplicates, conflicts and outliers.

    Args:
        folder: From `read_folder`.
        pairs: Its near-duplicates, from `find_pairs`.
        on_image: Called after each image.

    Raises:
        DataError: If an image can no longer be read.
    """
    measured = measure_images(folder.roots, folder.images, on_image=on_image)
    groups = group_images(folder.images, [pair[:2] for pair in pairs])
    return Audit(
        measured,
        folder.faults,
        _several(folder.images, {image.sha256: image.sha256 for image in folder.images}),
        _several(folder.images, groups),
        _named(folder.images, pairs),
        [[image.file for image in group] for group in conflicting_groups(folder.images, groups)],
        find_outliers(measured),
        list(folder.ignored),
        list(folder.notes),
    )


def find_outliers(images: Sequence[Measured]) -> list[Outlier]:
    """Images far from the median of their class, the farthest first.

    The modified z-score and its limit of 3.5 are Iglewicz and Hoaglin's, "How to detect and
    handle outliers", 1993. Sharpness is taken as its logarithm, as it spans decades.
    """
    found = []
    for label in {image.label for image in images}:
        chosen = [image for image in images if image.label == label]
        for measure, scale in _SCALES.items():
            values = np.array([getattr(image, measure) for image in chosen])
            away = scale(values) - np.median(scale(values))
            spread = np.median(np.abs(away))
            if spread == 0:
                continue  # more than half are equal: no scale
            for image, score in zip(chosen, NORMAL_MAD * away / spread, strict=True):
                if abs(score) > OUTLIER_SCORE:
                    value, median = getattr(image, measure), float(np.median(values))
                    found.append(Outlier(image.file, measure, value, median, float(score)))
    return sorted(found, key=lambda outlier: (-abs(outlier.score), outlier.file))


def _several(images: Sequence[LabelledImage], groups: dict[str, str]) -> list[list[str]]:
    files = [[image.file for image in m] for m in group_members(images, groups).values()]
    return sorted((m for m in files if len(m) > 1), key=lambda m: (-len(m), m))


def _named(images: Sequence[LabelledImage], pairs: Sequence[Pair]) -> list[tuple[str, str, float]]:
    """Pairs by the first file of each content, lowest correlation first."""
    file = {image.sha256: image.file for image in reversed(images)}
    named = [(file[p.first], file[p.second], p.correlation) for p in pairs]
    return sorted(named, key=lambda pair: pair[2])
