"""Predictions of the retrained network's checkpoints, and the scores on each dataset."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from concrete_study.datasets.folders import ImageFolder
from concrete_study.datasets.loading import StudyData
from concrete_study.datasets.progress import Progress
from concrete_study.datasets.splits import EXTERNAL
from concrete_study.models.checkpoints import predict_checkpoints
from concrete_study.models.configuration import Configuration
from concrete_study.models.head import Weights
from concrete_study.models.trainable import Network
from concrete_study.results.evaluation import evaluate, prediction_rows, read_predictions
from concrete_study.results.evaluation_records import DatasetReport


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
    """Predictions of every checkpoint on a subset, in the form that `evaluate` takes."""
    images, classes = data.subset(subset), data.folder.classes
    with progress.counting(f"predicting {subset}", len(images)) as done:
        probabilities = predict_checkpoints(
            network, configuration, checkpoints, images, batch_size=batch_size, on_images=done
        )
    rows = [row for row in data.rows if row.subset == subset]
    files, groups = [row.file for row in rows], [row.group for row in rows]
    truth = [classes[label] for label in images.labels]
    return prediction_rows(files, truth, classes, probabilities, groups)


def scores_by_dataset(
    folder: Path, images: ImageFolder, positive_class: str | None
) -> list[DatasetReport]:
    """The scores on each dataset, test and external test images apart; none if there is only one.

    Args:
        folder: Has `predictions.csv` and, with external test sets, `external.csv`.
        images: The study's folders.
        positive_class: Of the study.
    """
    if "" in images.roots:
        return []
    tables = {"test": read_predictions(folder / "predictions.csv")}
    if (external := folder / "external.csv").exists():
        tables[EXTERNAL] = read_predictions(external)
    reports = [
        DatasetReport(
            dataset=dataset, subset=subset, test=evaluate(rows, images.classes, positive_class)
        )
        for subset, table in tables.items()
        for dataset in images.roots
        if len(rows := table[table["file"].str.startswith(f"{dataset}/")])
    ]
    return reports if len(reports) > 1 else []
