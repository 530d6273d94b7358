"""Every number of a report on trials and pairs of studies, recomputed from their CSV files."""

import re
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy.stats import binomtest, rankdata, spearmanr
from small_report import TWO, csv_files, hyperband_trials, read_csv, trial, two_studies

from concrete_study.results.evaluation import evaluate, read_predictions
from concrete_study.results.folder import StudyFolder
from concrete_study.results.report.comparison import comparison_sections
from concrete_study.results.report.data import read_report_data
from concrete_study.results.report.writing import report_sections

DRAWS = 20_000
# By this module and test_results_recomputed.py.
RECOMPUTED = """tables/checkpoints tables/classification tables/cost tables/importance
    tables/leaderboard tables/least-confident tables/misclassified tables/paired tables/ranks
    tables/rounds tables/scores tables/searches tables/split tables/tests tables/thresholds
    tables/transfer figures/bracket-N figures/calibration figures/confusion figures/importance
    figures/parallel figures/precision-recall figures/progress figures/roc figures/slice"""
# Settings, versions and learning curves are shown as they are stored.
AS_STORED = """tables/environment tables/options tables/parameters tables/without-score
    figures/curves-N figures/training figures/validation"""


class Made(NamedTuple):
    """Two studies of the same images; the CSV files of the first one's report and of both."""

    studies: list[StudyFolder]
    tables: dict[str, pd.DataFrame]
    compared: dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    first, second = studies = two_studies(tmp_path_factory.mktemp("runs"))
    for record in [*hyperband_trials()[:20], trial(30, 2, None, bracket=2, round=0)]:
        second.write_trial(record)
    first.write_trial(trial(30, 2, None, bracket=2, round=0))
    for study in studies:
        study.write_table(study.trials())
    rows = pd.read_csv(first.split_path, dtype=str)
    rows["group"] = rows["subset"] + (rows.index // 2).astype(str)
    rows.to_csv(first.split_path, index=False)
    other = read_csv(second.predictions_path)
    swapped = other.index.isin([11, 12, 14, 17])  # of the best epoch
    names = ["p_Negative", "p_Positive"]
    other.loc[swapped, names] = other.loc[swapped, names[::-1]].to_numpy()
    other.to_csv(second.predictions_path, index=False)
    test = evaluate(read_predictions(second.predictions_path), TWO)
    second.write_metrics(replace(second.required_metrics(), trial="0016", test=test))
    tables = csv_files(report_sections(read_report_data(first)))
    return Made(studies, tables, csv_files(comparison_sections(studies)))


def correlations(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's, of each row."""
    a, b = (rankdata(values, axis=1) for values in (first, second))
    a, b = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (a, b))
    sizes = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    found: NDArray[np.float64] = (a * b).sum(axis=1) / np.where(sizes > 0, sizes, 1)
    return found


def test_every_table_and_figure_of_the_pages_is_recomputed_or_as_stored(made: Made) -> None:
    names = {re.sub("-[0-9]+$", "-N", name) for name in [*made.tables, *made.compared]}
    names = {re.sub("/(slice|training|validation)-.*", r"/\1", name) for name in names}
    assert names == {*RECOMPUTED.split(), *AS_STORED.split()}


def test_tables_of_the_search_follow_from_its_trials(made: Made) -> None:
    trials = read_csv(made.studies[0].path / "trials.csv").set_index("trial")
    scored = trials[trials["score"].notna()]
    paths = {name: [name] for name in trials.index}
    for name, parent in trials["parent"].dropna().items():  # a parent comes first
        paths[name] = [*paths[parent], name]
    board = made.tables["tables/leaderboard"].set_index("trial")
    shown = scored[~scored.index.isin(trials["parent"])]
    shown = shown.sort_values(["epochs", "score"], ascending=[False, True])
    assert board.index.tolist() == shown.index.tolist()
    assert board["rank"].tolist() == shown.groupby("epochs").cumcount().add(1).tolist()
    assert board["path"].tolist() == [" → ".join(paths[name]) for name in shown.index]
    assert board["seconds"].tolist() == [trials.loc[paths[t], "seconds"].sum() for t in shown.index]
    same = [name for name in board if name in shown and name != "seconds"]
    pd.testing.assert_frame_equal(board[same], shown[same], check_dtype=False)
    promoted, roots = trials.index.isin(trials["parent"]), {n: paths[n][0] for n in paths}
    for number in trials["bracket"].unique():
        points = made.tables[f"figures/bracket-{number}"].set_index("trial")
        assert points["configuration"].to_dict() == roots
        assert points["promoted"].tolist() == promoted.tolist()
        assert points["score"].equals(trials["score"])
    costs = made.tables["tables/rounds"].set_index(["bracket", "rung"])
    trials = trials.assign(promoted=promoted, lost=trials["score"].isna(), trials=1)
    rounds = trials.groupby(["bracket", "epochs"])
    for name in ("trials", "promoted", "seconds"):
        assert costs[name].to_dict() == rounds[name].sum().to_dict()
    assert costs["without_score"].to_dict() == rounds["lost"].sum().to_dict()
    assert costs["best_score"].to_dict() == rounds["score"].min().to_dict()
    epochs = costs.index.get_level_values("rung") * costs["trials"]
    assert costs["epochs"].tolist() == epochs.tolist()


def test_importance_follows_from_the_trials_within_the_error_of_resampling(made: Made) -> None:
    trials = read_csv(made.studies[0].path / "trials.csv").dropna(subset="score")
    rung = trials[trials["epochs"] == trials["epochs"].mode()[0]].sort_values("score")
    for name in ("parallel", "slice-dropout", "slice-head-units", "slice-head-learning-rate"):
        points = made.tables[f"figures/{name}"].rename(columns={"val_shifted_loss": "score"})
        expected = rung[points.columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(points, expected, check_dtype=False)
    table, random = made.tables["figures/importance"], np.random.default_rng(99)
    for row in table.to_dict("records"):
        both = rung[[row["hyperparameter"], "score"]].dropna().to_numpy(np.float64) * [1, -1]
        assert row["correlation"] == pytest.approx(spearmanr(both).statistic, abs=1e-12)
        drawn = both[random.integers(len(both), size=(DRAWS, len(both)))]
        found = correlations(drawn[:, :, 0], drawn[:, :, 1])
        # The error of a percentile of 2,000 draws is 0.06 standard deviations: four of these.
        interval = np.percentile(found, [2.5, 97.5]).tolist()
        assert [row["low"], row["high"]] == pytest.approx(interval, abs=0.25 * found.std() + 1e-9)
        shuffled = random.permuted(np.tile(both[:, 0], (DRAWS, 1)), axis=1)
        null = correlations(shuffled, np.tile(both[:, 1], (DRAWS, 1)))
        tail = min((null <= row["correlation"]).mean(), (null >= row["correlation"]).mean())
        # That of a p-value of 2,000 shuffles, of either side, is 2 sqrt(tail / 2000).
        assert row["p"] == pytest.approx(2 * tail, abs=8 * np.sqrt((tail + 1e-3) / 2000))
        assert row["p_corrected"] == min(1, row["p"] * len(table))
    shown = made.tables["tables/importance"].drop(columns="hyperparameter")
    assert shown.equals(table.drop(columns="hyperparameter"))


def test_counts_of_the_split_and_transfer_follow_from_their_csv(made: Made) -> None:
    rows = pd.read_csv(made.studies[0].split_path)
    table = made.tables["tables/split"].set_index("subset")
    counts = rows.groupby(["subset", "class"]).size().to_dict()
    assert table[["Negative", "Positive"]].stack().to_dict() == counts
    assert table["images"].to_dict() == rows["subset"].value_counts().to_dict()
    assert table["groups"].to_dict() == rows.groupby("subset")["group"].nunique().to_dict()
    points = made.tables["figures/training-loss"]
    for row in made.tables["tables/transfer"].to_dict("records"):
        values = points["val_" + row["measure"].removeprefix("validation ")]
        head = values[points["phase"] == 1]
        expected = [values.iloc[0], np.diff(head).mean(), values.tail(3).mean()]
        assert [row["start"], row["slope"], row["asymptote"]] == pytest.approx(expected)


def test_paired_tests_follow_from_predictions_and_groups_of_both_studies(made: Made) -> None:
    (row,) = made.compared["tables/paired"].to_dict("records")
    correct = []
    for study in made.studies:
        rows = read_csv(study.predictions_path).query("checkpoint == 'best'").set_index("file")
        correct.append((rows["p_Positive"] > rows["p_Negative"]) == (rows["class"] == "Positive"))
    groups = pd.read_csv(made.studies[0].split_path, index_col="file")["group"]
    net = correct[0].astype(int) - correct[1].astype(int)
    of = net.groupby(groups).agg(["sum", "size"]).to_numpy()
    assert [row["images"], row["groups"]] == [len(net), len(of)]
    assert row["only_first_correct"] == (net == 1).sum() > 0
    assert row["only_second_correct"] == (net == -1).sum() > 0
    assert row["difference"] == pytest.approx(net.mean())
    wins, losses = (of[:, 0] > 0).sum(), (of[:, 0] < 0).sum()
    assert row["p_value"] == pytest.approx(binomtest(wins, wins + losses).pvalue)
    drawn = of[np.random.default_rng(99).integers(len(of), size=(DRAWS, len(of)))].sum(axis=1)
    found = drawn[:, 0] / drawn[:, 1]
    interval, ends = np.percentile(found, [2.5, 97.5]).tolist(), ("low", "high")
    # The error of a percentile of 9,999 draws is 0.03 standard deviations: four of these.
    shown = [row[f"difference_{end}"] for end in ends]
    assert shown == pytest.approx(interval, abs=0.12 * found.std())


def test_the_comparison_of_searches_follows_from_their_trials(made: Made) -> None:
    searches = made.compared["tables/searches"].set_index("study")
    progress = made.compared["figures/progress"].set_index("study")
    cost, target = made.compared["tables/cost"].set_index("study"), searches["score"].max()
    for study in made.studies:
        trials, row = read_csv(study.path / "trials.csv"), searches.loc[study.name]
        done = trials[trials["status"] == "completed"]
        best = done[done["epochs"] == done["epochs"].max()].sort_values("score").iloc[0]
        assert (row["trials"], row["failed_trials"]) == (len(trials), len(trials) - len(done))
        assert row["epochs"] == done["epochs"].sum()
        for name in ("trial", "score", "head_units", "dropout", "head_learning_rate"):
            assert row[name] == best[name], name
        top = trials["score"].where(trials["epochs"] == done["epochs"].max())
        seconds, count = trials["seconds"].cumsum(), trials.index + 1
        frame = pd.DataFrame({"trials": count, "seconds": seconds, "best": top.cummin()})
        own = progress.loc[[study.name]].reset_index(drop=True)
        pd.testing.assert_frame_equal(own, frame[top.notna()].reset_index(drop=True))
        reached = own[own["best"] <= target].iloc[0]
        assert [*cost.loc[study.name]] == [target, reached["trials"], reached["seconds"]]


def test_ranks_follow_from_the_tables_of_tests_and_searches(made: Made) -> None:
    searches = made.compared["tables/searches"].set_index("study")
    ranks = made.compared["tables/ranks"].set_index("study")
    tests = made.compared["tables/tests"].set_index("study")
    lower = {"score": searches["score"], "seconds": searches["seconds"]}
    lower |= {"test_accuracy": -tests["test_accuracy"], "test_loss": tests["test_loss"]}
    for name, values in lower.items():
        assert ranks[f"by_{name}"].tolist() == values.rank(method="min").tolist()
    scores = made.tables["tables/scores"].iloc[:, 1:].to_numpy().ravel()
    first = tests.loc[["first"]].iloc[0]
    assert [*first.iloc[-len(scores) :]] == scores.tolist()
    accuracy = made.tables["tables/checkpoints"].iloc[-1]
    for name in ("accuracy", "accuracy_low", "accuracy_high"):
        assert first[f"test_{name}"] == accuracy[name]
    assert first["test_images"] == made.tables["figures/confusion"].iloc[:, 1:].sum().sum()
