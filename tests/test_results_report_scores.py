import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from concrete_study.results.evaluation import evaluate
from concrete_study.results.report.scores import (
    calibration,
    checkpoints_table,
    classification_table,
    confusion_table,
    image_predictions,
    least_confident,
    misclassified,
    precision_recall_points,
    roc_points,
)
from concrete_study.results.thresholds import thresholds

AB = ["a", "b"]


def rows(*images: tuple[str, float], checkpoint: str = "best") -> pd.DataFrame:
    """Images with their true class and the probability of b."""
    return pd.DataFrame(
        [
            {"file": f"{n}.jpg", "class": name, "checkpoint": checkpoint, "p_a": 1 - p, "p_b": p}
            for n, (name, p) in enumerate(images)
        ]
    )


def made_up(classes: list[str], images: int) -> pd.DataFrame:
    random = np.random.default_rng(2)
    truth = np.arange(images) % len(classes)
    logits = random.normal(size=(images, len(classes)))
    logits[np.arange(images), truth] += 1
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    frame = pd.DataFrame(shares, columns=[f"p_{name}" for name in classes])
    return frame.assign(
        file=[f"{n}" for n in range(images)],
        checkpoint="best",
        **{"class": [classes[number] for number in truth]},
    )


@pytest.mark.parametrize("classes", [AB, ["a", "b", "c"]])
def test_areas_are_those_of_scikit_learn(classes: list[str]) -> None:
    predictions = made_up(classes, 80)
    roc = roc_points(predictions, classes)
    curve = precision_recall_points(predictions, classes)
    areas = roc.groupby("class")["roc_auc"].first().to_dict()
    averages = curve.groupby("class")["average_precision"].first().to_dict()
    assert list(areas) == list(averages) == (["b"] if len(classes) == 2 else classes)
    for name, area in areas.items():
        positive, probability = predictions["class"] == name, predictions[f"p_{name}"]
        assert area == pytest.approx(roc_auc_score(positive, probability))
        assert averages[name] == pytest.approx(average_precision_score(positive, probability))


def test_test_images_of_one_class_have_no_curve() -> None:
    predictions = rows(("a", 0.1), ("a", 0.2))
    assert roc_points(predictions, AB).empty
    assert precision_recall_points(predictions, AB).empty


def test_calibration_counts_by_bins_and_leaves_empty_ones_out() -> None:
    bins = calibration(rows(("a", 0.05), ("b", 0.05), ("b", 1.0), ("b", 0.95)), AB)
    assert bins["low"].tolist() == [0.0, 14 / 15]
    assert bins["images"].tolist() == [2, 2]
    assert bins["mean_predicted_probability"].tolist() == pytest.approx([0.05, 0.975])
    assert bins["fraction_of_positives"].tolist() == [0.5, 1.0]


def test_the_calibration_error_weights_bins_by_their_images() -> None:
    images = rows(("a", 0.05), ("b", 0.95), ("b", 0.95), ("b", 0.95))
    assert evaluate(images, AB).scores.calibration_error.value == pytest.approx(0.05)
    worse = rows(("a", 0.2), ("b", 0.9), ("a", 0.9))
    assert evaluate(worse, AB).scores.calibration_error.value == pytest.approx((0.2 + 2 * 0.4) / 3)


def test_calibration_of_three_classes_is_of_the_predicted_class() -> None:
    predictions = made_up(["a", "b", "c"], 60)
    bins = calibration(predictions, ["a", "b", "c"])
    assert bins["images"].sum() == 60
    assert bins["low"].min() >= 0.3
    accuracy = evaluate(predictions, ["a", "b", "c"]).accuracy
    assert (bins["fraction_of_positives"] * bins["images"]).sum() == pytest.approx(60 * accuracy)


def test_thresholds_are_chosen_on_validation_and_evaluated_on_test() -> None:
    validation = rows(("b", 0.9), ("b", 0.4), ("a", 0.5), ("a", 0.1))
    test = rows(("b", 0.95), ("b", 0.2), ("a", 0.6), ("a", 0.2), ("a", 0.1))
    table = thresholds(validation, test, "b")
    assert table["target_recall"].tolist() == [0.99, 0.999, 1.0]
    assert table["threshold"].tolist() == [0.25] * 3  # halfway from 0.4 to the next below
    assert table["validation_true_positives"].tolist() == [2] * 3
    assert table["validation_false_positive_rate"].tolist() == [0.5] * 3
    assert table["test_true_positives"].tolist() == [1] * 3
    assert table["test_recall"].tolist() == [0.5] * 3
    assert table["test_false_positives"].tolist() == [1] * 3
    assert table["test_false_positive_rate"].tolist() == pytest.approx([1 / 3] * 3)
    assert table["test_recall_low"][0] < 0.5 < table["test_recall_high"][0]


def test_image_predictions_are_of_the_last_checkpoint_lowest_probability_first() -> None:
    before = rows(("a", 0.5), ("b", 0.5), checkpoint="before_training")
    table = image_predictions(pd.concat([before, rows(("a", 0.2), ("b", 0.1))]), AB)
    assert table["file"].tolist() == ["1.jpg", "0.jpg"]
    assert table["predicted"].tolist() == ["a", "a"]
    assert table["p_true"].tolist() == pytest.approx([0.1, 0.8])
    assert table["margin"].tolist() == pytest.approx([0.8, 0.6])


def test_misclassified_images_come_most_confident_first_correct_ones_last() -> None:
    images = image_predictions(rows(("a", 0.9), ("b", 0.45), ("b", 0.8), ("b", 0.6)), AB)
    assert misclassified(images)["file"].tolist() == ["0.jpg", "1.jpg"]
    assert least_confident(images, 1)["file"].tolist() == ["3.jpg"]


def test_tables_have_the_scores_of_the_test_report() -> None:
    test = evaluate(rows(("a", 0.2), ("b", 0.1), ("b", 0.9)), AB)
    assert confusion_table(test).to_numpy().tolist() == [["a", 1, 0], ["b", 1, 1]]
    report = classification_table(test)
    assert report["class"].tolist() == ["a", "b", "macro avg", "weighted avg"]
    assert report["recall"].tolist()[:2] == [1.0, 0.5]
    checkpoints = checkpoints_table(test)
    assert checkpoints["checkpoint"].tolist() == ["best epoch"]
    assert (
        checkpoints["accuracy_low"][0]
        < checkpoints["accuracy"][0]
        < checkpoints["accuracy_high"][0]
    )
