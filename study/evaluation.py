"""The retrained network on images that it was not trained on, and the scores of each source."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from concrete_study.datasets.folders import ImageFolder
from concrete_study.datasets.loading import StudyData
from concrete_study.datasets.progress import Progress
from concrete_study.datasets.splits import EXTERNAL
from concrete_study.models.checkpoints import predict_checkpoints
from concrete_study.models.configuration import Configuration
from concrete_study.models.trainable import Network, Weights
from concrete_study.results.evaluation import evaluate, prediction_rows, read_predictions


def predict_subset(
    network: Network,
    configuration: Configuration,
    checkpoints: Mapping[str, Weights],
    data: StudyData,
    subset: str,
    *,
    batch_size: int,
    progress: Progress,
) -> pd.DataFrame:
    """What every checkpoint answers on a subset, as `results.evaluation.evaluate` reads it."""
    images, classes = data.subset(subset), data.folder.classes
    with progress.counting(f"predicting {subset}", len(images)) as done:
        answers = predict_checkpoints(
            network, configuration, checkpoints, images, batch_size=batch_size, on_images=done
        )
    files = [row.file for row in data.rows if row.subset == subset]
    return prediction_rows(files, [classes[label] for label in images.labels], classes, answers)


def scores_by_dataset(folder: Path, images: ImageFolder) -> dict[str, Any]:
    """Each source's own scores, test and held-out images apart; empty if there is one source.

    Args:
        folder: Has `predictions.csv` and, if images were held out, `external.csv`.
        images: The study's folders.
    """
    if "" in images.roots:
        return {}
    tables = {"test": read_predictions(folder / "predictions.csv")}
    if (external := folder / "external.csv").exists():
        tables[EXTERNAL] = read_predictions(external)
    return {
        "by_dataset": [
            {"source": source, "subset": subset, **evaluate(rows, images.classes)}
            for subset, table in tables.items()
            for source in images.roots
            if len(rows := table[table["file"].str.startswith(f"{source}/")])
        ]
    }
