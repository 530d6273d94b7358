"""A made-up study with predictions in groups, on datasets of its own and on external ones."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax
from small_records import evaluation_record, retraining_record
from small_report import make_study

from concrete_study.datasets.files import write_text
from concrete_study.datasets.splits import SUBSETS, SplitRow, write_split
from concrete_study.results.evaluation import evaluate, prediction_rows, read_predictions
from concrete_study.results.evaluation_records import DatasetReport
from concrete_study.results.folder import StudyFolder
from concrete_study.results.stored import write_record

TRAINED = ("before_training", "best", "calibrated")


def split_rows(classes: Sequence[str]) -> list[SplitRow]:
    """Groups of one to three images, from three datasets."""
    subsets = [("train", "near", 9), ("validation", "near", 24), ("test", "near", 14)]
    return [
        SplitRow(file, label, subset, f"{subset}-{dataset}-{group}", digest)
        for subset, dataset, groups in [*subsets, ("test", "mid", 12), ("external", "far", 12)]
        for group in range(groups)
        for label in [classes[group // 2 % len(classes)]]
        for file in [f"{dataset}/{label}/{subset}-{group}-{n}.png" for n in range(1 + group % 3)]
        for digest in [hashlib.sha256(file.encode()).hexdigest()]
    ]


def predict(
    path: Path, rows: Sequence[SplitRow], classes: list[str], names: Sequence[str], seed: int
) -> pd.DataFrame:
    """Writes predictions with a certain error, and with ties after calibration."""
    truth = np.array([classes.index(row.label) for row in rows])
    logits = np.random.default_rng(seed).normal(size=(len(rows), len(classes)))
    logits[np.arange(len(rows)), truth] += 1.2
    logits[0, (truth[0] + 1) % len(classes)] += 20
    shares = {"before_training": np.full_like(logits, 1 / len(classes))}
    shares["best"] = softmax(logits, axis=1)
    rounded = softmax(logits / 1.5, axis=1).round(2)
    shares["calibrated"] = rounded / rounded.sum(axis=1, keepdims=True)
    files, labels, groups = ([getattr(r, n) for r in rows] for n in ("file", "label", "group"))
    checkpoints = {name: shares[name] for name in names}
    table = prediction_rows(files, labels, classes, checkpoints, groups)
    write_text(path, table.to_csv(index=False))
    return read_predictions(path)


def evaluated_study(folder: Path, classes: list[str]) -> StudyFolder:
    """A study as `study best` and `study evaluate` leave it."""
    rows, study = split_rows(classes), make_study(folder, classes=classes, groups=71)
    write_split(study.split_path, rows)
    of = {name: [row for row in rows if row.subset == name] for name in (*SUBSETS, "external")}
    predict(study.validation_path, of["validation"], classes, TRAINED[1:], 8)
    test = predict(study.predictions_path, of["test"], classes, TRAINED, 1)
    far = predict(study.best_path / "external.csv", of["external"], classes, TRAINED, 7)
    datasets = [("near", "test", test), ("mid", "test", test), ("far", "external", far)]
    by_dataset = [
        DatasetReport(dataset=name, subset=subset, test=evaluate(part, classes))
        for name, subset, table in datasets
        for part in [table[table["file"].str.startswith(f"{name}/")]]
    ]
    found = {"test": evaluate(test, classes), "by_dataset": by_dataset}
    study.write_metrics(retraining_record(study.name, **found))
    for number, name in enumerate(("decks-1", "decks-2")):  # two folders of the same name
        path = study.evaluations_path / name
        table = predict(path / "predictions.csv", of["external"], classes, ["best"], 9 + number)
        more = {"data": f"/{number}/decks", "fingerprint": name, "folder": name}
        other = evaluate(table, classes, classes[0])
        record = evaluation_record(study.name, test=other, **more)
        write_record(path / "metrics.json", record)
    return study
