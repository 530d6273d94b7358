"""Every score of a report, recomputed from its predictions with scikit-learn and SciPy."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn import metrics
from small_predictions import TRAINED, evaluated_study
from small_report import csv_files, read_csv

from concrete_study.results.folder import StudyFolder
from concrete_study.results.report.data import read_report_data
from concrete_study.results.report.writing import report_sections

SCORES = {
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "loss": "log loss",
    "calibration_error": "expected calibration error",
}
EDGES = [*(number / 15 for number in range(15)), 2.0]  # a probability of 1 is in the last bin
pytestmark = pytest.mark.filterwarnings("ignore:The y_prob values:UserWarning")  # clipped
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


class Made(NamedTuple):
    """A study, and the CSV files of its report."""

    study: StudyFolder
    classes: list[str]
    positive: str | None
    tables: dict[str, pd.DataFrame]

    def predictions(self, file: str, checkpoint: str | None = None) -> pd.DataFrame:
        """One checkpoint of a file, the last one if none is given."""
        table = read_csv(self.study.path / file)
        return table[table["checkpoint"] == (checkpoint or table["checkpoint"].iloc[-1])]


@pytest.fixture(scope="module", params=[("Negative", "Positive"), ("crack", "none", "spalling")])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    classes = list(request.param)
    study = evaluated_study(tmp_path_factory.mktemp("runs") / "made", classes)
    tables = csv_files(report_sections(read_report_data(study)))
    return Made(study, classes, "Positive" if len(classes) == 2 else None, tables)


def arrays(rows: pd.DataFrame, positive: str | None) -> tuple[Labels, Floats, int | None]:
    """Indices of true classes, probabilities, and the index of the positive class."""
    shares = rows.filter(regex="^p_")
    classes = [str(name)[2:] for name in shares]
    number = None if positive is None else classes.index(positive)
    truth = np.array([classes.index(name) for name in rows["class"]])
    return truth, shares.to_numpy(np.float64), number


def sides(truth: Labels, p: Floats, positive: int | None) -> list[tuple[Flags, Floats]]:
    """Which images are of a class, and their probability of it: of each class on trial."""
    numbers = range(p.shape[1]) if positive is None else [positive]
    return [(truth == n, p[:, n]) for n in numbers if 0 < (truth == n).sum() < len(truth)]


def reliability(truth: Labels, p: Floats, positive: int | None) -> pd.DataFrame:
    """The bins of a reliability diagram that have images: images, mean, fraction."""
    found = {"mean": p.max(axis=1), "fraction": truth == p.argmax(axis=1)}
    if positive is not None:
        found = {"mean": p[:, positive], "fraction": truth == positive}
    frame = pd.DataFrame(found).astype(float)
    bins = frame.groupby(pd.cut(frame["mean"], EDGES, right=False, labels=False).to_numpy())
    return bins.mean().assign(images=bins.size())


def by_scikit_learn(truth: Labels, p: Floats, positive: int | None) -> dict[str, float]:
    predicted, labels = p.argmax(axis=1), range(p.shape[1])
    bins, both = reliability(truth, p, positive), sides(truth, p, positive)
    gaps = (bins["mean"] - bins["fraction"]).abs()
    return {
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
        "macro_f1": metrics.f1_score(truth, predicted, labels=labels, average="macro"),
        "roc_auc": np.mean([metrics.roc_auc_score(*side) for side in both]),
        "average_precision": np.mean([metrics.average_precision_score(*side) for side in both]),
        "loss": metrics.log_loss(truth, p.clip(1e-7), labels=labels),
        "calibration_error": np.average(gaps, weights=bins["images"]),
    }


def by_definition(truth: Labels, p: Floats, positive: int | None) -> dict[str, float]:
    """The same by definition: a thousand draws by scikit-learn take 20 s of CPU time."""
    each, predicted = np.arange(p.shape[1])[:, None], p.argmax(axis=1)
    support, total = (truth == each).sum(axis=1), (predicted == each).sum(axis=1)
    correct = ((truth == each) & (predicted == each)).sum(axis=1)
    several = np.nan if (support > 0).sum() < 2 else 1.0
    shown, outcome = p.max(axis=1), truth == predicted
    if positive is not None:
        shown, outcome = p[:, positive], truth == positive
    gaps = np.bincount(np.digitize(shown, EDGES), weights=shown - outcome)
    areas, averages = [], []
    for is_positive, score in sides(truth, p, positive):
        own, other = score[is_positive][:, None], score[~is_positive]
        areas.append((own > other).mean() + (own == other).mean() / 2)
        above = score >= own
        averages.append((above[:, is_positive].sum(axis=1) / above.sum(axis=1)).mean())
    return {
        "balanced_accuracy": several * (correct[support > 0] / support[support > 0]).mean(),
        "macro_f1": several * (2 * correct / np.maximum(support + total, 1)).mean(),
        "roc_auc": np.mean(areas) if areas else np.nan,
        "average_precision": np.mean(averages) if areas else np.nan,
        "loss": -np.log(p[np.arange(len(truth)), truth].clip(1e-7)).mean(),
        "calibration_error": np.abs(gaps).sum() / len(truth),
    }


def recomputed(rows: pd.DataFrame, positive: str | None) -> dict[str, list[float]]:
    """Every score with its interval: the same 1,000 draws of groups as in the report."""
    truth, p, number = arrays(rows, positive)
    groups, names = pd.factorize(rows["group"])
    members = [np.flatnonzero(groups == group) for group in range(len(names))]
    drawn = np.random.default_rng(1).integers(len(names), size=(1000, len(names)))
    each = [np.concatenate([members[group] for group in draw]) for draw in drawn]
    draws = pd.DataFrame([by_definition(truth[i], p[i], number) for i in each])
    values = by_scikit_learn(truth, p, number)
    assert by_definition(truth, p, number) == pytest.approx(values, abs=1e-12)
    low, high = draws.quantile(0.025), draws.quantile(0.975)
    return {name: [v, min(v, low[name]), max(v, high[name])] for name, v in values.items()}


def wilson(correct: int, total: int) -> tuple[float, float]:
    interval = binomtest(int(correct), int(total)).proportion_ci(method="wilson")
    return interval.low, interval.high


def test_scores_and_their_intervals_follow_from_the_predictions(made: Made) -> None:
    table = made.tables["tables/scores"].set_index("score")
    expected = recomputed(made.predictions("best/predictions.csv"), made.positive)
    for name, label in SCORES.items():
        assert [*table.loc[label]] == pytest.approx(expected[name], abs=1e-12), name


def test_scores_of_each_dataset_follow_from_the_file_that_the_table_names(made: Made) -> None:
    table = made.tables["tables/datasets"]
    assert table["dataset"].tolist() == ["near", "mid", "far", "decks", "decks"]
    for row in table.to_dict("records"):
        rows = made.predictions(row["predictions"])
        if row["predictions"].startswith("best/"):
            rows = rows[rows["file"].str.startswith(f"{row['dataset']}/")]
        positive = None if pd.isna(row["positive_class"]) else row["positive_class"]
        truth, p, _ = arrays(rows, positive)
        correct = (p.argmax(axis=1) == truth).sum()
        expected = {"accuracy": [correct / len(rows), *wilson(correct, len(rows))]}
        assert row["images"] == len(rows)
        for name, values in (expected | recomputed(rows, positive)).items():
            found = [row[f"{name}{end}"] for end in ("", "_low", "_high")]
            assert found == pytest.approx(values, abs=1e-12), (row["predictions"], name)


def test_classification_report_and_confusion_matrix_follow_from_the_predictions(made: Made) -> None:
    truth, p, _ = arrays(made.predictions("best/predictions.csv"), None)
    both = truth, p.argmax(axis=1)
    counts = made.tables["figures/confusion"].set_index("true")
    assert counts.to_numpy().tolist() == metrics.confusion_matrix(*both).tolist()
    table = made.tables["tables/classification"].set_index("class")
    by_class = np.array(metrics.precision_recall_fscore_support(*both)).T
    assert table.loc[made.classes].to_numpy() == pytest.approx(by_class)
    for average in ("macro", "weighted"):
        row = metrics.precision_recall_fscore_support(*both, average=average)[:3]
        assert [*table.loc[f"{average} avg"]] == pytest.approx([*row, len(truth)])


def test_scores_before_and_after_each_phase_follow_from_the_predictions(made: Made) -> None:
    table = made.tables["tables/checkpoints"].set_index("checkpoint")
    assert table.index.tolist() == ["before training", "best epoch", "calibrated"]
    for checkpoint, row in zip(TRAINED, table.to_numpy(), strict=True):
        rows = made.predictions("best/predictions.csv", checkpoint)
        truth, p, number = arrays(rows, made.positive)
        scores, correct = by_scikit_learn(truth, p, number), (p.argmax(axis=1) == truth).sum()
        expected = [scores["loss"], correct / len(truth), *wilson(correct, len(truth))]
        assert row == pytest.approx([*expected, scores["calibration_error"]], abs=1e-12)


def test_curves_and_reliability_diagram_follow_from_the_predictions(made: Made) -> None:
    rows, folder = made.predictions("best/predictions.csv"), made.tables
    for name in [made.positive] if made.positive else made.classes:
        roc, curve = (folder[f"figures/{n}"] for n in ("roc", "precision-recall"))
        roc, curve = (table[table["class"] == name] for table in (roc, curve))
        side = rows["class"] == name, rows[f"p_{name}"]
        points = roc[["false_positive_rate", "true_positive_rate", "threshold"]].to_numpy()
        assert points == pytest.approx(np.column_stack(metrics.roc_curve(*side)))
        points = curve[["precision", "recall"]].to_numpy()
        assert points == pytest.approx(np.column_stack(metrics.precision_recall_curve(*side)[:2]))
        assert set(roc["roc_auc"]) == {metrics.roc_auc_score(*side)}
        assert set(curve["average_precision"]) == {metrics.average_precision_score(*side)}
    bins = reliability(*arrays(rows, made.positive))
    positives = (bins["images"] * bins["fraction"]).round()
    intervals = list(map(wilson, positives, bins["images"]))
    expected = np.column_stack([bins[["images", "mean", "fraction"]], intervals])
    assert folder["figures/calibration"]["low"].tolist() == [EDGES[number] for number in bins.index]
    assert folder["figures/calibration"].iloc[:, 2:].to_numpy() == pytest.approx(expected)


def test_thresholds_follow_from_validation_and_test_predictions(made: Made) -> None:
    assert ("tables/thresholds" in made.tables) == (made.positive is not None)
    files = {"validation": "best/validation.csv", "test": "best/predictions.csv"}
    for row in made.tables.get("tables/thresholds", pd.DataFrame()).to_dict("records"):
        for name, file in files.items():
            rows = made.predictions(file)
            predicted = rows["p_Positive"] >= row["threshold"]
            matrix = metrics.confusion_matrix(rows["class"] == "Positive", predicted)
            (negative, false), (missed, true) = matrix
            assert row[f"{name}_true_positives"] == true
            assert row[f"{name}_positives"] == true + missed
            assert row[f"{name}_false_positive_rate"] == pytest.approx(false / (false + negative))
        found = [
            row[f"test_{n}"] for n in ("false_positives", "recall", "recall_low", "recall_high")
        ]
        assert found == [false, true / (true + missed), *wilson(true, true + missed)]
        rows = made.predictions(files["validation"])
        side = rows["class"] == "Positive", rows["p_Positive"]
        _, recall, steps = metrics.precision_recall_curve(*side)
        highest = steps[recall[:-1] >= row["target_recall"]].max()
        assert row["threshold"] == (highest + max(steps[steps < highest], default=0.0)) / 2


def test_lists_of_images_follow_from_the_predictions(made: Made) -> None:
    rows = made.predictions("best/predictions.csv").set_index("file")
    truth, p, _ = arrays(rows, None)
    ranked = np.sort(p, axis=1)
    frame = pd.DataFrame({"true": rows["class"], "predicted": np.array(made.classes)[p.argmax(1)]})
    frame["p_true"], frame["p_predicted"] = p[np.arange(len(p)), truth], ranked[:, -1]
    frame["margin"] = ranked[:, -1] - ranked[:, -2]
    wrong = made.tables["tables/misclassified"].set_index("file")
    assert wrong["p_true"].is_monotonic_increasing
    expected = frame[frame["true"] != frame["predicted"]]
    pd.testing.assert_frame_equal(wrong.sort_index(), expected.sort_index())
    unsure = made.tables["tables/least-confident"].set_index("file")
    expected = frame.drop(expected.index).nsmallest(len(unsure), "margin")
    assert unsure["margin"].tolist() == expected["margin"].tolist()
    pd.testing.assert_frame_equal(unsure, frame.loc[unsure.index])
