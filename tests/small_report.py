"""Made-up studies for reports: records, split, images and predictions, without training."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from msgspec.structs import replace
from PIL import Image

from concrete_study.datasets.files import file_sha256, write_text
from concrete_study.datasets.splits import SplitRow, write_split
from concrete_study.results.evaluation import evaluate, prediction_rows
from concrete_study.results.folder import StudyFolder
from concrete_study.results.hyperparameters import Dimension, Space
from concrete_study.results.records import (
    Epoch,
    EvaluationRecord,
    Features,
    Parameters,
    Precisions,
    RetrainingRecord,
    SearchOptions,
    Seeds,
    Session,
    StudyRecord,
    TestReport,
    TrialRecord,
)
from concrete_study.results.stored import write_record
from concrete_study.results.trials import rank

TWO = ("Negative", "Positive")
# (bracket, round, trials, epochs) of Hyperband at 10 epochs; each round promotes its first.
ROUNDS = ((2, 0, 12, 2), (2, 1, 4, 4), (2, 2, 2, 10), (1, 0, 6, 4), (1, 1, 2, 10), (0, 0, 4, 10))
SPACE: Space = {
    "head_units": Dimension(choices=(0, 64, 256)),
    "dropout": Dimension(low=0.0, high=0.6),
    "unfreeze_depth": Dimension(choices=(0, 1, 3)),
    "head_learning_rate": Dimension(low=1e-5, high=1e-2, log=True),
    "fine_tune_learning_rate": Dimension(low=1e-6, high=1e-4, log=True),
}


def hyperparameters(random: np.random.Generator) -> dict[str, float | int]:
    """One configuration of `SPACE`."""
    drawn: dict[str, float | int] = {
        "head_units": int(random.choice([0, 64, 256])),
        "dropout": float(random.uniform(0, 0.6)),
        "unfreeze_depth": int(random.choice([0, 1, 3])),
        "head_learning_rate": float(10 ** random.uniform(-5, -2)),
    }
    if drawn["unfreeze_depth"]:
        drawn["fine_tune_learning_rate"] = float(10 ** random.uniform(-6, -4))
    return drawn


def curve(score: float, epochs: int) -> list[Epoch]:
    """A validation loss that falls to `score` at its last epoch, in two phases."""
    return [
        Epoch(
            epoch=epoch,
            phase=1 if epoch <= math.ceil(epochs / 2) else 2,
            loss=score * (1 + epochs - epoch),
            accuracy=0.9,
            val_loss=score * (1 + 0.5 * (epochs - epoch)),
            val_accuracy=min(0.99, 0.5 + 0.05 * epoch),
            val_macro_f1=0.9,
        )
        for epoch in range(1, epochs + 1)
    ]


def trial(number: int, epochs: int, score: float | None, **more: Any) -> TrialRecord:
    """A completed trial, or a failed one where the score is None."""
    given: dict[str, Any] = {
        "trial": f"{number:04d}",
        "status": "failed" if score is None else "completed",
        "hyperparameters": {"head_units": 64, "head_learning_rate": 1e-3},
        "epochs": epochs,
        "seconds": 2.0 * epochs,
        "score": score,
        "best_epoch": None if score is None else epochs,
        "metrics": {} if score is None else {"val_loss": score, "val_accuracy": 0.9},
        "curve": [] if score is None else curve(score, epochs),
        "message": "the loss is not a number" if score is None else "",
    }
    return TrialRecord(**given | more)


def hyperband_trials() -> list[TrialRecord]:
    """30 trials of 22 configurations; a high head learning rate is best, nothing else matters."""
    random = np.random.default_rng(5)
    records: list[TrialRecord] = []
    last: dict[int, list[TrialRecord]] = {}
    for bracket, number, count, epochs in ROUNDS:
        made: list[TrialRecord] = []
        parents = sorted(last.get(bracket, []), key=lambda record: record.score or 0)[:count]
        for place in range(count):
            parent = parents[place] if number else None
            drawn = parent.hyperparameters if parent else hyperparameters(random)
            score = 0.001 / drawn["head_learning_rate"] ** 0.5 / epochs
            where = {"bracket": bracket, "round": number, "hyperparameters": drawn}
            above = {"parent": parent.trial if parent else None}
            made.append(trial(len(records) + place, epochs, score, **where, **above))
        records += made
        last[bracket] = made
    return records


def draw_folder(folder: Path, classes: Sequence[str] = TWO, *, each: int = 20) -> list[SplitRow]:
    """A folder of small grey images and its split: the last five of a class are test images."""
    rows = []
    for number, name in enumerate(classes):
        for place in range(each):
            path = folder / name / f"{place:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shade = np.full((24, 24, 3), 20 + 60 * number + place, np.uint8)
            Image.fromarray(shade).save(path)
            subset = "train" if place < each - 10 else "validation" if place < each - 5 else "test"
            digest = file_sha256(path)
            rows.append(SplitRow(f"{name}/{path.name}", name, subset, digest[:16], digest))
    return rows


def predictions_of(rows: Sequence[SplitRow], subset: str, classes: Sequence[str]) -> pd.DataFrame:
    """Predictions of a subset that are mostly correct; every fifth image is misclassified."""
    there = [row for row in rows if row.subset == subset]
    random = np.random.default_rng(3)
    truth = np.array([list(classes).index(row.label) for row in there])
    logits = random.normal(size=(len(there), len(classes)))
    logits[np.arange(len(there)), truth] += np.where(np.arange(len(there)) % 5 == 4, -2, 3)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    flat = np.full_like(shares, 1 / len(classes))
    checkpoints = {"before_training": flat, "best": shares}
    files, labels = [row.file for row in there], [row.label for row in there]
    return prediction_rows(files, labels, classes, checkpoints)


def study_record(name: str, **changes: Any) -> StudyRecord:
    """A finished search for the built-in sample."""
    started = "2026-11-23T10:00:00+00:00"
    record = StudyRecord(
        name=name,
        created=started,
        finished="2026-11-23T10:01:05+00:00",
        seconds=65.0,
        state="finished",
        stopped=None,
        options=SearchOptions(space=SPACE),
        schedule=[],
        planned_trials=30,
        data={"": "/sample"},
        classes=list(TWO),
        images={"train": 20, "validation": 10, "test": 10},
        faults=[],
        groups=None,
        conflicts=[],
        searched={"train": 20, "validation": 10},
        precision="float32",
        fingerprint="ab" * 32,
        weights_sha256="cd" * 32,
        seeds=Seeds(study=1, oracle=1),
        versions={"python": "3.11"},
        commit=None,
        sessions=[Session(started=started, commit=None, versions={})],
        test_opened=[],
        devices="CPU",
        features=Features(feature_layers=(), views=5, bytes=0, reason="", augmentation="1"),
    )
    return replace(record, **changes)


def make_study(folder: Path, records: Sequence[TrialRecord] = (), **changes: Any) -> StudyFolder:
    """A study with these trials, without images."""
    study = StudyFolder(folder)
    study.write_manifest(study_record(study.name, **changes))
    for record in records:
        write_record(study.trials_path / f"{record.trial}.json", record)
    return study


def add_best(study: StudyFolder, rows: Sequence[SplitRow], classes: Sequence[str] = TWO) -> None:
    """What `study best` writes: metrics, predictions of test and validation, a summary."""
    best = next(iter(rank(study.trials(), objective="val_loss")), None)
    predictions = predictions_of(rows, "test", classes)
    write_text(study.predictions_path, predictions.to_csv(index=False))
    validation = predictions_of(rows, "validation", classes)
    write_text(study.validation_path, validation.to_csv(index=False))
    write_text(study.best_path / "summary.txt", "Model: <made up>\n")
    trial = best.trial if best else "0012"
    study.write_metrics(retraining_record(evaluate(predictions, classes), trial=trial))


def retraining_record(test: TestReport, **changes: Any) -> RetrainingRecord:
    """A retraining of ten epochs, five in each phase."""
    record = RetrainingRecord(
        study="made-up",
        trial="0016",
        hyperparameters={"head_units": 64, "dropout": 0.25},
        epochs=10,
        views="stored",
        precision=Precisions(training="float32", test="float32"),
        best_epoch=8,
        curve=curve(0.1, 10),
        parameters={"phase_1": Parameters(trainable=3, non_trainable=5)},
        backbone_parameters=5,
        test=test,
        test_opened=["2026-11-23T11:00:00+00:00"],
        commit=None,
        versions={},
        seconds=30.0,
    )
    return replace(record, **changes)


def evaluation_record(test: TestReport, data: str) -> EvaluationRecord:
    """An evaluation on an external test set."""
    return EvaluationRecord(
        study="made-up",
        folder="decks-1",
        data=data,
        fingerprint="ef" * 32,
        class_map={},
        excluded=0,
        faults=[],
        test=test,
        evaluated="2026-11-23T12:00:00+00:00",
        commit=None,
        versions={},
    )


def whole_study(
    folder: Path, classes: Sequence[str] = TWO, records: Sequence[TrialRecord] | None = None
) -> StudyFolder:
    """A study with everything: 30 trials, images next to it, a retrained model."""
    images = folder.parent / f"{folder.name}-images"
    rows = draw_folder(images, classes)
    changes = {"data": {"": str(images)}, "classes": list(classes), "groups": len(rows)}
    study = make_study(folder, hyperband_trials() if records is None else records, **changes)
    write_split(study.split_path, rows)
    add_best(study, rows, classes)
    return study


def two_studies(runs: Path) -> list[StudyFolder]:
    """Two studies of the same images; the second has one trial and other options."""
    first = whole_study(runs / "first")
    second = whole_study(runs / "second", records=[trial(0, 10, 0.5)])
    record = second.manifest()
    options = replace(record.options, algorithm="random", trials=1)
    second.write_manifest(replace(record, options=options, seconds=5.0))
    return [first, second]
