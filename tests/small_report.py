"""Made-up studies for reports: records, split, images and predictions, without training."""

import io
import math
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from msgspec.structs import replace
from PIL import Image
from small_records import CREATED, retraining_record, study_record

from concrete_study.datasets.files import file_sha256, write_text
from concrete_study.datasets.splits import SplitRow, write_split
from concrete_study.results.evaluation import evaluate, prediction_rows
from concrete_study.results.evaluation_records import Parameters
from concrete_study.results.folder import StudyFolder
from concrete_study.results.formats import render
from concrete_study.results.hyperparameters import Dimension, Space
from concrete_study.results.records import Epoch, SearchOptions, TrialRecord
from concrete_study.results.report.elements import Section, Table
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
        "metrics": {}
        if score is None
        else {"val_shifted_loss": score, "val_loss": score, "val_accuracy": 0.9},
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
        for index in range(count):
            parent = parents[index] if number else None
            drawn = parent.hyperparameters if parent else hyperparameters(random)
            score = 0.001 / float(drawn["head_learning_rate"]) ** 0.5 / epochs
            where = {"bracket": bracket, "round": number, "hyperparameters": drawn}
            above = {"parent": parent.trial if parent else None}
            made.append(trial(len(records) + index, epochs, score, **where, **above))
        records += made
        last[bracket] = made
    return records


def draw_folder(folder: Path, classes: Sequence[str] = TWO, *, each: int = 20) -> list[SplitRow]:
    """A folder of small grey images and its split: the last five of a class are test images."""
    rows = []
    for number, name in enumerate(classes):
        for index in range(each):
            path = folder / name / f"{index:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shade = np.full((24, 24, 3), 20 + 60 * number + index, np.uint8)
            Image.fromarray(shade).save(path)
            subset = "train" if index < each - 10 else "validation" if index < each - 5 else "test"
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


def make_study(folder: Path, records: Sequence[TrialRecord] = (), **more: Any) -> StudyFolder:
    """A study of these trials, without images."""
    study = StudyFolder(folder)
    given: dict[str, Any] = {
        "created": CREATED,
        "seconds": 65.0,
        "options": SearchOptions(space=SPACE),
        "groups": None,
    }
    study.write_manifest(study_record(study.name, **given | more))
    for record in records:
        study.write_trial(record)
    return study


def add_best(study: StudyFolder, rows: Sequence[SplitRow], classes: Sequence[str] = TWO) -> None:
    """What `study best` writes: metrics, predictions of test and validation, a summary."""
    best = next(iter(rank(study.trials(), objective="val_loss")), None)
    predictions = predictions_of(rows, "test", classes)
    metrics = retraining_record(
        study.name,
        trial=best.trial if best else "0012",
        views="stored",
        curve=curve(0.1, 10),
        parameters={"phase_1": Parameters(trainable=3, non_trainable=5)},
        backbone_parameters=5,
        test=evaluate(predictions, classes),
    )
    write_text(study.predictions_path, predictions.to_csv(index=False))
    validation = predictions_of(rows, "validation", classes)
    write_text(study.validation_path, validation.to_csv(index=False))
    write_text(study.best_path / "summary.txt", "Model: <made up>\n")
    study.write_metrics(metrics)


def whole_study(
    folder: Path, classes: Sequence[str] = TWO, records: Sequence[TrialRecord] | None = None
) -> StudyFolder:
    """A study with everything: 30 trials, images next to it, a retrained model."""
    images = folder.parent / f"{folder.name}-images"
    rows = draw_folder(images, classes)
    more = {"data": {"": str(images)}, "classes": list(classes), "groups": len(rows)}
    study = make_study(folder, hyperband_trials() if records is None else records, **more)
    write_split(study.split_path, rows)
    add_best(study, rows, classes)
    return study


def two_studies(runs: Path) -> list[StudyFolder]:
    """Two studies of the same images; the second has one trial and other options."""
    first = whole_study(runs / "first")
    second = whole_study(runs / "second", records=[trial(0, 10, 0.5)])
    manifest = second.manifest()
    options = replace(manifest.options, algorithm="random", trials=1)
    second.write_manifest(replace(manifest, options=options, seconds=5.0))
    return [first, second]


def read_csv(file: Path | io.StringIO) -> pd.DataFrame:
    """A table to the last bit, its ids of trials as text."""
    text = dict.fromkeys(("trial", "parent", "configuration"), str)
    return pd.read_csv(file, dtype=text, float_precision="round_trip")


def csv_files(sections: Sequence[Section]) -> dict[str, pd.DataFrame]:
    """The CSV files of a page by path as they are written, without drawing the figures."""
    tables = [e for section in sections for e in section.elements if isinstance(e, Table)]
    frames = {f"tables/{table.name}": table.frame for table in tables}
    frames |= {f"figures/{p.name}": p.frame for section in sections for p in section.plots()}
    return {name: read_csv(io.StringIO(render(f, "csv"))) for name, f in frames.items()}


class Tags(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    @property
    def policy(self) -> str:
        """The content security policy."""
        [policy] = [a["content"] for _, a in self.found if a.get("http-equiv")]
        return policy or ""
