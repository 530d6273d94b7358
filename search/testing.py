"""The retrained network on images that it was not trained on, and the scores of each source."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from datasets.folders import ImageFolder
from datasets.splits import HELD_OUT
from models.configuration import Configuration
from models.learner import Network, Weights
from models.stages import predict_stages
from results.evaluation import evaluate, prediction_rows, read_predictions
from search.data import StudyData
from search.progress import Progress


def predict_subset(
    network: Network,
    configuration: Configuration,
    stages: Mapping[str, Weights],
    data: StudyData,
    subset: str,
    *,
    batch_size: int,
    progress: Progress,
) -> pd.DataFrame:
    """What every stage answers on a subset, as `results.evaluation.evaluate` reads it."""
    images, classes = data.subset(subset), data.folder.classes
    with progress.counting(f"predicting {subset}", len(images)) as done:
        answers = predict_stages(
            network, configuration, stages, images, batch_size=batch_size, on_images=done
        )
    files = [row.file for row in data.rows if row.subset == subset]
    return prediction_rows(files, [classes[label] for label in images.labels], classes, answers)


def scores_by_source(folder: Path, images: ImageFolder) -> dict[str, Any]:
    """Each source's own scores, test and held-out images apart; empty if there is one source.

    Args:
        folder: Has `predictions.csv` and, if images were held out, `held-out.csv`.
        images: The study's folders.
    """
    if "" in images.roots:
        return {}
    tables = {"test": read_predictions(folder / "predictions.csv")}
    if (held_out := folder / "held-out.csv").exists():
        tables[HELD_OUT] = read_predictions(held_out)
    return {
        "by_source": [
            {"source": source, "subset": subset, **evaluate(rows, images.classes)}
            for subset, table in tables.items()
            for source in images.roots
            if len(rows := table[table["file"].str.startswith(f"{source}/")])
        ]
    }
