import math
import warnings
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, log_loss, roc_auc_score

from concrete_study.datasets.errors import StudyStateError
from concrete_study.datasets.splits import SplitRow
from concrete_study.results.evaluation import (
    CHECKPOINTS,
    clustered_accuracy,
    evaluate,
    prediction_rows,
    read_predictions,
)
from concrete_study.results.evaluation_records import TestReport
from concrete_study.results.headlines import balance_text, score_lines
from concrete_study.results.report.scores import readable_report
from concrete_study.results.statistics import wilson_interval

THREE = ["crack", "none", "spalling"]


def predict(
    classes: list[str], images: int, checkpoints: tuple[str, ...] = CHECKPOINTS
) -> pd.DataFrame:
    """Made-up probabilities that get better from checkpoint to checkpoint."""
    random = np.random.default_rng(7)
    rows = []
    for skill, checkpoint in enumerate(checkpoints):
        for image in range(images):
            true = image % len(classes)
            logits = random.normal(size=len(classes))
            logits[true] += skill
            shares = np.exp(logits) / np.exp(logits).sum()
            names = [f"p_{name}" for name in classes]
            row = {"file": f"{image}.jpg", "class": classes[true], "checkpoint": checkpoint}
            rows.append({**row, **dict(zip(names, shares.tolist(), strict=True))})
    return pd.DataFrame(rows)


def rows(*probabilities: tuple[str, float, float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"file": f"{i}", "class": name, "checkpoint": "after_phase_1", "p_a": p_a, "p_b": p_b}
            for i, (name, p_a, p_b) in enumerate(probabilities)
        ]
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "No columns"),
        ("file,class,checkpoint\n", "0 rows of the columns file, class, checkpoint"),
        ("file,class,checkpoint,p_a,p_b\n", "0 rows of the columns"),
        ("file,class,checkpoint,p_a\n1.jpg,a,best,0.5\n", "1 rows of the columns"),
        ("file,checkpoint,p_a,p_b\n1.jpg,best,0.5,0.5\n", "1 rows of the columns file, checkpoint"),
        ("file,class,checkpoint,p_a,p_b\n1.jpg,a,best,0.5,x\n", "'x'"),
        ("file,class,checkpoint,p_a,p_b\n1.jpg,a,best,0.5,nan\n", "a probability is NaN"),
        ("file,class,checkpoint,p_a,p_b\n1.jpg,a,later,0.5,0.5\n", "later"),
        ("file,class,checkpoint,p_a,p_b\n1.jpg,a,best,0.5", "float"),
    ],
)
def test_a_damaged_table_of_predictions_is_named(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(content)
    with pytest.raises(StudyStateError, match=r"predictions\.csv is damaged") as caught:
        read_predictions(path)
    assert reason.lower() in caught.value.expected.lower()


def test_metrics_agree_with_scikit_learn_for_three_classes() -> None:
    predictions = predict(THREE, 60, CHECKPOINTS[:4])
    metrics = evaluate(predictions, THREE)
    final = predictions[predictions["checkpoint"] == "best"]
    chosen = final[[f"p_{name}" for name in THREE]].to_numpy().argmax(axis=1)
    truth = [THREE.index(name) for name in final["class"]]
    probabilities = final[[f"p_{name}" for name in THREE]].to_numpy()
    assert metrics.scores.loss.value == pytest.approx(log_loss(truth, probabilities), abs=1e-12)
    assert metrics.scores.macro_f1 is not None
    assert metrics.scores.macro_f1.value == pytest.approx(f1_score(truth, chosen, average="macro"))
    assert metrics.images == 60
    assert np.sum(metrics.confusion_matrix) == 60
    assert np.trace(metrics.confusion_matrix) == metrics.accuracy * 60
    assert metrics.accuracy_interval[0] < metrics.accuracy < metrics.accuracy_interval[1]
    assert list(metrics.checkpoints) == list(CHECKPOINTS[:4])


def test_metrics_json_can_be_recomputed_to_the_last_bit_from_predictions_csv(
    tmp_path: Path,
) -> None:
    predictions = predict(THREE, 31)
    written = msgspec.json.encode(evaluate(predictions, THREE))
    predictions.to_csv(tmp_path / "predictions.csv", index=False)
    again = evaluate(read_predictions(tmp_path / "predictions.csv"), THREE)
    assert msgspec.json.decode(written, type=TestReport) == again


@pytest.mark.parametrize("classes", [["01", "NA"], ["01", "02"]])
def test_classes_that_look_like_numbers_or_blanks_survive_the_file(
    tmp_path: Path, classes: list[str]
) -> None:
    predictions = predict(classes, 4)
    predictions.to_csv(tmp_path / "predictions.csv", index=False)
    again = evaluate(read_predictions(tmp_path / "predictions.csv"), classes)
    assert again == evaluate(predictions, classes)
    assert [again.by_class[name].support for name in classes] == [2, 2]


def test_without_a_second_phase_the_first_is_the_final_one() -> None:
    predictions = predict(THREE, 12, checkpoints=CHECKPOINTS[:2])
    metrics = evaluate(predictions, THREE)
    assert metrics.scores.loss.value == metrics.checkpoints["after_phase_1"].loss
    assert "after_phase_2" not in metrics.checkpoints


def test_the_best_epoch_is_the_final_checkpoint_even_if_a_phase_ended_better() -> None:
    predictions = predict(THREE, 30, checkpoints=("before_training", "best", "after_phase_2"))
    metrics = evaluate(predictions, THREE)
    assert list(metrics.checkpoints) == ["before_training", "after_phase_2", "best"]
    assert metrics.scores.loss.value == metrics.checkpoints["best"].loss
    assert metrics.scores.loss.value > metrics.checkpoints["after_phase_2"].loss


def test_the_loss_of_a_confident_error_is_that_of_keras() -> None:
    assert evaluate(rows(("a", 0.0, 1.0)), ["a", "b"]).scores.loss.value == pytest.approx(
        -math.log(1e-7)
    )
    assert evaluate(rows(("a", 1.0, 0.0)), ["a", "b"]).scores.loss.value == 0.0


def test_a_tie_goes_to_the_first_class() -> None:
    metrics = evaluate(rows(("a", 0.5, 0.5), ("b", 0.5, 0.5)), ["a", "b"])
    assert metrics.confusion_matrix == [[1, 0], [1, 0]]


def test_a_class_neither_present_nor_predicted_stays_in_the_confusion_matrix() -> None:
    metrics = evaluate(rows(("a", 0.9, 0.1)).assign(p_c=0.0), ["a", "b", "c"])
    assert metrics.confusion_matrix == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


@pytest.mark.filterwarnings("error:::sklearn")
def test_images_of_one_class_have_no_macro_f1_and_break_nothing() -> None:
    metrics = evaluate(rows(("a", 0.9, 0.1)), ["a", "b"])
    assert metrics.scores.macro_f1 is None
    assert metrics.by_class["b"].support == 0


def test_all_faults_are_reported_at_once() -> None:
    faulty = rows(("a", 0.5, 0.5), ("c", math.nan, 0.5))
    other = rows(("a", 0.5, 0.5)).assign(file="9", checkpoint="after_lunch")
    faulty = pd.concat([faulty, faulty.head(1), other])
    with pytest.raises(ValueError, match="cannot be evaluated") as caught:
        evaluate(faulty, ["a", "b"])
    assert str(caught.value) == (
        "predictions that cannot be evaluated: unknown checkpoint after_lunch (expected "
        "before_training, after_phase_1, after_phase_2, best, calibrated, unadapted, adapted); "
        "unknown class c (expected a, b); 1 files occur twice in a checkpoint; the checkpoints "
        "have different files; a probability is NaN or outside [0, 1] in 1 rows"
    )


@pytest.mark.parametrize("probability", [-0.01, 1.01])
def test_a_row_with_a_probability_outside_0_and_1_is_a_fault(probability: float) -> None:
    faulty = rows(("a", 0.5, 0.5), ("b", 0.5, 0.5), ("a", 0.5, probability))
    with pytest.raises(ValueError, match=r"outside \[0, 1\] in 1 rows"):
        evaluate(faulty, ["a", "b"])


def test_a_file_occurs_twice_even_with_other_probabilities() -> None:
    twice = pd.concat([rows(("a", 0.5, 0.5)), rows(("a", 0.4, 0.6))])
    with pytest.raises(ValueError, match="1 files occur twice"):
        evaluate(twice, ["a", "b"])


def test_at_most_five_unknown_classes_are_named() -> None:
    faulty = rows(*((name, 0.5, 0.5) for name in "cdefgh"))
    with pytest.raises(ValueError, match=r"unknown class c, d, e, f, g \(expected a, b\)"):
        evaluate(faulty, ["a", "b"])


def test_a_row_per_image_and_checkpoint_is_written() -> None:
    after = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)
    table = prediction_rows(
        ["1", "2"], ["b", "a"], ["a", "b"], {"best": after, "other": after[::-1]}
    )
    assert table.columns.tolist() == ["file", "class", "checkpoint", "p_a", "p_b"]
    assert table.to_numpy().tolist() == [
        ["1", "b", "best", 0.25, 0.75],
        ["2", "a", "best", 0.5, 0.5],
        ["1", "b", "other", 0.5, 0.5],
        ["2", "a", "other", 0.25, 0.75],
    ]


def test_the_readable_report_has_each_class_their_mean_and_the_confusion_matrix() -> None:
    metrics = evaluate(rows(("a", 0.9, 0.1), ("a", 0.2, 0.8), ("b", 0.3, 0.7)), ["a", "b"])
    assert metrics.interval == "Wilson 95 %"
    assert readable_report(metrics) == (
        "           precision  recall  f1-score  support\n"
        "a             1.0000  0.5000    0.6667        2\n"
        "b             0.5000  1.0000    0.6667        1\n"
        "macro avg     0.7500  0.7500    0.6667        3\n"
        "\n"
        "        predicted a  predicted b\n"
        "true a            1            1\n"
        "true b            0            1\n"
    )


def test_missing_columns_and_empty_predictions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1 rows of the columns file, .*, p_a, p_b"):
        evaluate(rows(("a", 0.5, 0.5)).drop(columns=["p_a", "p_b"]), ["a", "b"])
    with pytest.raises(ValueError, match="0 rows of the columns file"):
        evaluate(rows(("a", 0.5, 0.5)).head(0), ["a", "b"])


def test_clustered_by_group_a_group_counts_once_and_is_correct_only_as_a_whole() -> None:
    predictions = rows(("a", 0.9, 0.1), ("a", 0.8, 0.2), ("b", 0.3, 0.7), ("b", 0.6, 0.4))

    def split(*groups: str) -> list[SplitRow]:
        return [SplitRow(f"{n}", "a", "test", group, f"{n}") for n, group in enumerate(groups)]

    assert clustered_accuracy(predictions, ["a", "b"], split("0", "1", "2", "3")) == ""
    sentence = clustered_accuracy(predictions, ["a", "b"], split("0", "0", "3", "3"))
    assert sentence.startswith("The 4 test images form 2 groups")
    assert "accuracy is 0.5000 (95 % interval 0.0945 to 0.9055)" in sentence
    sentence = clustered_accuracy(predictions, ["a", "b"], split("0", "0", "2", "3"))
    low, high = wilson_interval(2, 3)
    assert f"accuracy is 0.6667 (95 % interval {low:.4f} to {high:.4f})" in sentence


def test_files_that_the_split_does_not_list_are_groups_of_their_own() -> None:
    predictions = rows(("a", 0.9, 0.1), ("a", 0.8, 0.2), ("b", 0.3, 0.7), ("b", 0.6, 0.4))
    split = [SplitRow(f"{n}", "a", "test", "0", f"{n}") for n in range(2)]
    sentence = clustered_accuracy(predictions, ["a", "b"], split)
    assert sentence.startswith("The 4 test images form 3 groups")
    assert "accuracy is 0.6667" in sentence


def test_balanced_accuracy_and_majority_rate_are_next_to_accuracy() -> None:
    images = [("a", 0.9, 0.1)] * 14 + [("b", 0.9, 0.1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        test = evaluate(rows(*images), ["a", "b"])
    balanced, area = test.scores.balanced_accuracy, test.scores.roc_auc
    assert balanced is not None
    assert area is not None
    assert balanced.value == 0.5
    assert (test.majority_class, test.majority_rate) == ("a", 14 / 15)
    assert balance_text(test) == (
        "always predicting a has an accuracy of 0.9333; balanced accuracy 0.5000"
    )
    assert (test.positive_class, area.value) == ("b", 0.5)
    lines = score_lines(test)
    assert "ROC AUC                     0.5000 (0.5000 to 0.5000)" in lines
    assert lines[-1].endswith("bootstrap over 15 groups; positive class b.")


@pytest.mark.parametrize(("positive", "measure"), [("a", "recall"), ("b", "specificity")])
def test_images_of_one_class_have_a_recall_or_specificity_and_no_auc(
    positive: str, measure: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        test = evaluate(rows(*[("a", 0.9, 0.1)] * 9, ("a", 0.2, 0.8)), ["a", "b"], positive)
    assert test.scores.balanced_accuracy is test.scores.roc_auc is None
    assert test.scores.average_precision is None
    assert test.diagnosis is None
    low, high = wilson_interval(9, 10)
    assert balance_text(test) == (
        f"{measure} of a 0.9000 (Wilson 95 % interval {low:.4f} to {high:.4f}), "
        "balanced accuracy undefined: one class"
    )
    lines = score_lines(test)
    assert "ROC AUC                     undefined: one class" in lines
    assert lines[-1].endswith(f"positive class {positive}.")


def test_a_hundred_classes_of_few_images_cause_no_warning() -> None:
    classes = [f"{number:03}" for number in range(100)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        test = evaluate(predictions := predict(classes, 60), classes)
    assert test.positive_class is None
    final = predictions[predictions["checkpoint"] == CHECKPOINTS[-1]]
    areas = [
        roc_auc_score(final["class"] == name, final[f"p_{name}"])
        for name in final["class"].unique()
    ]
    assert len(areas) == 60
    assert test.scores.roc_auc is not None
    assert test.scores.roc_auc.value == pytest.approx(np.mean(areas))
    assert score_lines(test)[-1].endswith("means over one-vs-rest.")
    assert test.scores.balanced_accuracy is not None
    assert test.scores.balanced_accuracy.value == pytest.approx(test.accuracy)
