"""Every score of a test, recomputed from its predictions.csv with scikit-learn."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    roc_auc_score,
)

from concrete_study.datasets.errors import UsageError
from concrete_study.results import metrics
from concrete_study.results.evaluation import evaluate, prediction_rows, read_predictions
from concrete_study.results.evaluation_records import Estimate, TestReport
from concrete_study.results.metrics import SCORES, ensure_defined, macro_f1, validation_scores
from concrete_study.results.objectives import OBJECTIVES

TWO, THREE = ["Negative", "Positive"], ["crack", "none", "spalling"]
DRAWS = 150


def written(
    path: Path, classes: list[str], *, images: int = 90, group_size: int = 3, skill: float = 1.0
) -> Path:
    """A predictions.csv of two decimals, so that many probabilities are equal."""
    random = np.random.default_rng(4)
    groups = np.arange(images) // group_size
    truth = (groups * groups) % 7 % len(classes)
    logits = random.normal(size=(images // group_size + 1, len(classes)))[groups]
    logits[np.arange(images), truth] += skill
    shares = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).round(2)
    shares[:, -1] = 1 - shares[:, :-1].sum(axis=1)
    files, names = [f"{n}.jpg" for n in range(images)], [classes[number] for number in truth]
    table = prediction_rows(files, names, classes, {"best": shares}, [f"g{g}" for g in groups])
    table.to_csv(path / "predictions.csv", index=False)
    return path / "predictions.csv"


def by_scikit_learn(
    table: pd.DataFrame, classes: list[str], weights: NDArray[np.float64]
) -> dict[str, float]:
    """Every score; of two classes, the second is the positive one; absent classes do not count."""
    kept = weights > 0
    table, weights = table[kept], weights[kept]
    p = table[[f"p_{name}" for name in classes]].to_numpy()
    truth = np.array([classes.index(name) for name in table["class"]])
    predicted = p.argmax(axis=1)
    positives = [1] if len(classes) == 2 else range(len(classes))
    sides = [(truth == n, p[:, n], weights) for n in positives if (truth == n).any()]
    outcome, shown = (truth == 1, p[:, 1]) if len(classes) == 2 else (truth == predicted, p.max(1))
    bins = np.minimum(np.floor(shown * 15), 14)
    distances = [
        abs(np.sum(weights[bins == b] * (shown[bins == b] - outcome[bins == b]))) for b in range(15)
    ]
    labels = range(len(classes))
    return {
        "balanced_accuracy": balanced_accuracy_score(truth, predicted, sample_weight=weights),
        "macro_f1": f1_score(
            truth, predicted, labels=labels, average="macro", sample_weight=weights, zero_division=0
        ),
        "roc_auc": np.mean([roc_auc_score(y, s, sample_weight=w) for y, s, w in sides]),
        "average_precision": np.mean(
            [average_precision_score(y, s, sample_weight=w) for y, s, w in sides]
        ),
        "loss": log_loss(truth, np.clip(p, 1e-7, 1), sample_weight=weights, labels=labels),
        "calibration_error": sum(distances) / weights.sum(),
    }


@pytest.mark.parametrize("classes", [TWO, THREE])
def test_scores_and_intervals_follow_from_predictions_csv(
    tmp_path: Path, classes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "DRAWS", DRAWS)
    path = written(tmp_path, classes)
    test = evaluate(read_predictions(path), classes)
    table = pd.read_csv(path)
    groups = table["group"].unique()
    assert test.groups == len(groups) == 30
    drawn = np.random.default_rng(1).integers(len(groups), size=(DRAWS, len(groups)))
    numbers = pd.Index(groups).get_indexer(pd.Index(table["group"]))
    weights = [np.bincount(draw, minlength=len(groups))[numbers].astype(float) for draw in drawn]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        once = by_scikit_learn(table, classes, np.ones(len(table)))
        draws = pd.DataFrame([by_scikit_learn(table, classes, weight) for weight in weights])
    for name in SCORES:
        found: Estimate = getattr(test.scores, name)
        low, high = np.percentile(draws[name], [2.5, 97.5])
        assert found.value == pytest.approx(once[name], abs=1e-9)
        assert (found.low, found.high) == pytest.approx(
            (min(low, once[name]), max(high, once[name])), abs=1e-9
        )
        assert found.low < found.high


def test_the_memory_limit_does_not_change_an_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions = read_predictions(written(tmp_path, TWO))
    whole = evaluate(predictions, TWO).scores
    monkeypatch.setattr(metrics, "_CELLS", 1000)
    parts = evaluate(predictions, TWO).scores
    for name in SCORES:
        one, other = getattr(whole, name), getattr(parts, name)
        assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-12)


def width(test: TestReport) -> float:
    assert test.scores.roc_auc is not None
    return test.scores.roc_auc.high - test.scores.roc_auc.low


def test_images_of_one_group_count_as_one(tmp_path: Path) -> None:
    predictions = read_predictions(written(tmp_path, TWO, images=300, group_size=10))
    clustered = evaluate(predictions, TWO)
    alone = evaluate(predictions.drop(columns="group"), TWO)
    assert (clustered.groups, alone.groups) == (30, 300)
    assert width(clustered) > 2 * width(alone)


@pytest.mark.parametrize("classes", [TWO, THREE])
def test_objectives_of_an_epoch_are_those_of_the_test(tmp_path: Path, classes: list[str]) -> None:
    table = pd.read_csv(written(tmp_path, classes))
    labels = np.array([classes.index(name) for name in table["class"]])
    p = table[[f"p_{name}" for name in classes]].to_numpy()
    found = validation_scores(labels, p, classes, None)
    expected = by_scikit_learn(table, classes, np.ones(len(table)))
    for name in ("roc_auc", "average_precision", "balanced_accuracy"):
        assert found[f"val_{name}"] == pytest.approx(expected[name], abs=1e-9)
    assert set(found) < set(OBJECTIVES)


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_macro_f1_of_an_epoch_equals_that_of_scikit_learn_to_the_last_bit(classes: int) -> None:
    random = np.random.default_rng(classes)
    for images in (1, 2, 7, 48, 500):
        for _ in range(10):
            truth, predicted = random.integers(random.integers(1, classes + 1), size=(2, images))
            expected = f1_score(truth, predicted, average="macro", zero_division=0)
            assert macro_f1(truth, predicted) == expected


def test_average_precision_is_of_the_positive_class() -> None:
    labels, p = np.array([0, 0, 0, 1]), np.array([0.1, 0.6, 0.2, 0.5])
    both = np.stack([1 - p, p], axis=1)
    positive = validation_scores(labels, both, TWO, "Positive")
    negative = validation_scores(labels, both, TWO, "Negative")
    assert positive["val_roc_auc"] == negative["val_roc_auc"] == pytest.approx(2 / 3)
    assert positive["val_average_precision"] == pytest.approx(1 / 2)
    assert negative["val_average_precision"] == pytest.approx((1 + 1 + 3 / 4) / 3)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_objective_that_one_class_leaves_undefined_is_refused(objective: str) -> None:
    labels = np.zeros(5, np.int32)
    if objective in ("val_loss", "val_accuracy", "val_macro_f1", "val_shifted_loss"):
        ensure_defined(objective, labels, TWO, None)
        return
    with pytest.raises(UsageError, match=f"{objective} is undefined") as caught:
        ensure_defined(objective, labels, TWO, None)
    assert "5 validation images are all of Negative" in caught.value.expected
    ensure_defined(objective, np.array([0, 1]), TWO, None)


def test_of_three_classes_a_positive_class_without_images_leaves_the_ranking_undefined() -> None:
    labels = np.array([0, 1, 0, 1])
    ensure_defined("val_roc_auc", labels, THREE, None)
    ensure_defined("val_balanced_accuracy", labels, THREE, "spalling")
    with pytest.raises(UsageError, match="val_roc_auc is undefined"):
        ensure_defined("val_roc_auc", labels, THREE, "spalling")
