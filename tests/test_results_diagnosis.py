import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score

from concrete_study.results.diagnosis import diagnosis_text
from concrete_study.results.evaluation import evaluate, prediction_rows
from concrete_study.results.evaluation_records import TestReport

CLASSES = ["Negative", "Positive"]


def report(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> TestReport:
    p = 1 / (1 + np.exp(-logits))
    files, names = [f"{n}" for n in range(len(p))], [CLASSES[number] for number in truth]
    return evaluate(
        prediction_rows(files, names, CLASSES, {"best": np.stack([1 - p, p], 1)}), CLASSES
    )


def calibrated_logits(
    scale: float = 3.0, images: int = 2000
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits that are the true ones, and labels drawn by them."""
    random = np.random.default_rng(6)
    logits = random.normal(scale=scale, size=images)
    return logits, (random.uniform(size=images) < 1 / (1 + np.exp(-logits))).astype(np.int64)


def test_a_shifted_threshold_is_found_and_named() -> None:
    logits, truth = calibrated_logits(images=400)
    test = report(logits - 4, truth)
    found, balanced = test.diagnosis, test.scores.balanced_accuracy
    assert found is not None
    assert balanced is not None
    p = 1 / (1 + np.exp(4 - logits))
    at = {t: balanced_accuracy_score(truth, p >= t) for t in np.unique(p)}
    assert found.balanced_accuracy == pytest.approx(max(at.values()))
    assert found.balanced_accuracy == pytest.approx(at[found.threshold])
    assert balanced.value == pytest.approx(balanced_accuracy_score(truth, p > 0.5))
    text = diagnosis_text(test)
    assert text.startswith("The model ranks these images well (ROC AUC 0.9")
    assert (
        f"but its threshold does not fit them: balanced accuracy {balanced.value:.2f} at 0.5, "
        f"at best {found.balanced_accuracy:.2f} (at {found.threshold:.2g})."
    ) in text


def test_the_best_threshold_never_reads_as_the_one_it_is_compared_with() -> None:
    logits = np.array([-0.002, -0.001, -0.0005, 0.002])  # hardly trained
    text = diagnosis_text(report(logits, np.array([0, 0, 1, 1])))
    assert "balanced accuracy 0.75 at 0.5, at best 1.00 (at 0.4999)." in text


def test_the_loss_of_wrong_scale_and_offset_is_calibration() -> None:
    logits, truth = calibrated_logits()
    good, bad = report(logits, truth), report(1.5 * logits - 1, truth)
    assert good.diagnosis is not None
    assert bad.diagnosis is not None
    # The slope and offset of the made-up logits can be undone; of the true ones none is needed.
    assert bad.diagnosis.calibrated_loss == pytest.approx(good.diagnosis.calibrated_loss, abs=1e-4)
    assert good.diagnosis.calibrated_loss == pytest.approx(good.scores.loss.value, abs=2e-3)
    rest, loss = bad.diagnosis.calibrated_loss, bad.scores.loss.value
    assert (
        f"Calibration is {loss - rest:.2f} of the log loss of {loss:.2f}: slope and offset of the "
        f"logit, refitted on these images, leave {rest:.2f}."
    ) in diagnosis_text(bad)
    assert "and its threshold fits them" in diagnosis_text(good)


def test_a_model_that_does_not_rank_is_not_helped_by_a_threshold() -> None:
    logits, truth = calibrated_logits(scale=0.3)
    text = diagnosis_text(report(logits - 4, truth))
    assert text.startswith("The model does not rank these images well (ROC AUC 0.5")
    assert "so that no threshold fits them: balanced accuracy 0.50 at 0.5, at best 0.5" in text


def test_few_images_leave_the_ranking_undecided() -> None:
    logits, truth = calibrated_logits(scale=2, images=30)
    test = report(logits, truth)
    assert test.scores.roc_auc is not None
    assert test.scores.roc_auc.low < 0.8 < test.scores.roc_auc.high
    text = diagnosis_text(test)
    assert text.startswith("30 images are too few to decide whether the model ranks them well")


def test_a_reversed_ranking_has_a_finite_threshold() -> None:
    found = report(np.array([-1.0, -2.0, 1.0, 2.0]), np.array([1, 1, 0, 0])).diagnosis
    assert found is not None
    assert 0 < found.threshold < 1
    assert found.balanced_accuracy == 0.5


@pytest.mark.filterwarnings("error")
def test_separable_classes_have_no_loss_after_refitting() -> None:
    found = report(np.array([-1.0, -0.5, 0.2, 2.0]), np.array([0, 0, 1, 1])).diagnosis
    assert found is not None
    assert found.calibrated_loss < 0.01
    assert found.balanced_accuracy == 1


def test_one_class_or_three_have_no_diagnosis() -> None:
    one = report(np.array([1.0, 2.0]), np.array([1, 1]))
    assert one.diagnosis is None
    assert diagnosis_text(one) == ""
    table = prediction_rows(["1", "2", "3"], ["a", "b", "c"], ["a", "b", "c"], {"best": np.eye(3)})
    assert diagnosis_text(evaluate(table, ["a", "b", "c"])) == ""
