"""Out-of-fold predictions: each image predicted by the networks that did not train on it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from concrete_study.datasets.files import write_text
from concrete_study.datasets.folds import Fold
from concrete_study.datasets.splits import SplitRow
from concrete_study.results.folder import StudyFolder
from concrete_study.results.formats import csv_text
from concrete_study.results.records import SearchOptions, TrialRecord
from concrete_study.results.trials import best_trial


def out_of_fold_table(
    rows: Sequence[SplitRow],
    folds: Sequence[Fold],
    probabilities: Sequence[NDArray[np.float32]],
    classes: Sequence[str],
) -> pd.DataFrame:
    """One row per training or validation image, in their order.

    Columns: file, label, group, fold (from 1, the one that validates on the image), and p_<class>
    for each class; with several repeats probabilities are their means.

    Args:
        rows: The images that were divided into folds.
        folds: Row numbers of each fold.
        probabilities: Of each fold's validation images, shape (images, classes).
        classes: The names of the classes.
    """
    parts = [
        pd.DataFrame(predicted, index=fold.validation, columns=[f"p_{name}" for name in classes])
        for fold, predicted in zip(folds, probabilities, strict=True)
    ]
    table = pd.concat(parts, keys=range(1, len(folds) + 1), names=["fold"]).reset_index(0)
    table = table.sort_index()
    for position, name in enumerate(("file", "label", "group")):
        table.insert(position, name, [getattr(row, name) for row in rows])
    return table


def store_out_of_fold(
    study: StudyFolder, trials: Sequence[TrialRecord], options: SearchOptions, table: pd.DataFrame
) -> None:
    """Writes a trial's predictions, and those of the best trial as `out-of-fold.csv`.

    It comes before the record of the trial: a search that is killed in between runs the trial
    again. Every trial's are kept, as a later trial can make an earlier one the simplest within one
    standard error.

    Args:
        study: The study.
        trials: All of them; the last one is the new one.
        options: Decide which is the best.
        table: The new trial's predictions.
    """
    write_text(study.trials_path / f"{trials[-1].trial}.csv", csv_text(table))
    best = study.trials_path / f"{best_trial(trials, options).trial}.csv"
    write_text(study.out_of_fold_path, best.read_text(encoding="utf-8"))
