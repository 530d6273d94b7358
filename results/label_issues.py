"""Labels that are probably wrong: found by confident learning in out-of-fold predictions.

Source: Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels",
JAIR 2021, as cleanlab has it.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from concrete_study.datasets.splits import SplitRow
from concrete_study.results.records import Record

NEIGHBOURS = 5
FILTER = "prune_by_noise_rate"  # cleanlab's default; decision 025 compares others


class Neighbour(Record, frozen=True, kw_only=True):
    """One of the images that are the most similar to another one."""

    file: str
    label: str
    similarity: float  # cosine of the frozen features


class LabelIssue(Record, frozen=True, kw_only=True):
    """An image whose label is probably wrong."""

    rank: int  # from 1, the lowest label quality first
    file: str
    subset: str
    label: str
    suggested_label: str
    p_label: float  # out-of-fold probabilities
    p_suggested: float
    label_quality: float  # 0..1: cleanlab's normalized margin
    group: str
    neighbours: list[Neighbour]


def find_label_issues(
    rows: Sequence[SplitRow],
    classes: Sequence[str],
    probabilities: NDArray[np.floating],
    features: NDArray[np.floating],
) -> list[LabelIssue]:
    """Ranks the images whose label is probably wrong.

    Args:
        rows: The images; at least two classes.
        classes: The names of the classes, in the order of the probabilities.
        probabilities: Out-of-fold, shape (images, classes).
        features: Decide which images are similar, shape (images, features).
    """
    from cleanlab.filter import find_label_issues as find
    from cleanlab.rank import get_label_quality_scores
    from sklearn.neighbors import NearestNeighbors

    labels = np.array([classes.index(row.label) for row in rows])
    method = "normalized_margin"
    quality = get_label_quality_scores(labels, probabilities, method=method)
    # In this process: others would be forks of one that has loaded TensorFlow.
    found = np.flatnonzero(find(labels, probabilities, filter_by=FILTER, n_jobs=1))
    found = found[np.argsort(quality[found], kind="stable")]
    if not len(found):
        return []
    # One more than shown, as an image is the nearest to itself.
    nearest = NearestNeighbors(n_neighbors=min(NEIGHBOURS + 1, len(rows)), metric="cosine")
    distances, numbers = nearest.fit(features).kneighbors(features[found])
    issues = []
    for rank, (number, *similar) in enumerate(
        zip(found.tolist(), distances, numbers, strict=True), 1
    ):
        row, suggested = rows[number], int(probabilities[number].argmax())
        issues.append(
            LabelIssue(
                rank=rank,
                file=row.file,
                subset=row.subset,
                label=row.label,
                suggested_label=classes[suggested],
                p_label=float(probabilities[number, labels[number]]),
                p_suggested=float(probabilities[number, suggested]),
                label_quality=float(quality[number]),
                group=row.group,
                neighbours=_neighbours(rows, number, *similar),
            )
        )
    return issues


def _neighbours(
    rows: Sequence[SplitRow],
    number: int,
    distances: NDArray[np.floating],
    numbers: NDArray[np.integer],
) -> list[Neighbour]:
    return [
        Neighbour(file=rows[n].file, label=rows[n].label, similarity=1 - float(distance))
        for distance, n in zip(distances, numbers, strict=True)
        if n != number
    ][:NEIGHBOURS]


def issues_table(issues: Sequence[LabelIssue]) -> pd.DataFrame:
    """One row per image, the lowest label quality first; as `label-issues.csv` has it.

    Columns: those of `LabelIssue`; of each neighbour neighbour_1, neighbour_1_label and
    neighbour_1_similarity.
    """
    names = [name for name in LabelIssue.__struct_fields__ if name != "neighbours"]
    of_neighbour = {"file": "", "label": "_label", "similarity": "_similarity"}
    rows = []
    for issue in issues:
        row = {name: getattr(issue, name) for name in names}
        for number, neighbour in enumerate(issue.neighbours, 1):
            for name, ending in of_neighbour.items():
                row[f"neighbour_{number}{ending}"] = getattr(neighbour, name)
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else names)
