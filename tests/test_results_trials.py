import math
from typing import Any

import pytest

from concrete_study.datasets.errors import SearchError, UsageError
from concrete_study.results.objectives import find_objective
from concrete_study.results.records import SearchOptions, TrialRecord
from concrete_study.results.trials import (
    best_trial,
    hyperparameter_columns,
    leaderboard,
    rank,
    trials_table,
)


def trial(name: str, epochs: int, score: float | None, **more: Any) -> TrialRecord:
    content: dict[str, Any] = {
        "status": "completed",
        "hyperparameters": {"head_units": 256, "dropout": 0.3, "unfreeze_depth": 0},
        "seconds": 2.0,
        "best_epoch": epochs,
        "metrics": {"val_loss": score, "val_accuracy": 0.9} if score is not None else {},
    }
    return TrialRecord(trial=name, epochs=epochs, score=score, **{**content, **more})


def failed(name: str, epochs: int = 2) -> TrialRecord:
    return trial(name, epochs, None, status="failed", best_epoch=None, message="the loss is NaN")


PROMOTED = [
    trial("0000", 2, 0.01),
    trial("0001", 2, 0.30),
    trial("0012", 4, 0.20, parent="0001"),
    trial("0013", 4, 0.40, parent="0002"),
    trial("0016", 10, 0.25, parent="0012"),
]


def names(records: list[TrialRecord]) -> list[str]:
    return [record.trial for record in records]


def test_the_highest_rung_comes_first_however_good_a_lower_one_scored() -> None:
    ranked = rank(PROMOTED, objective="val_loss")
    assert names(ranked) == ["0016", "0012", "0013", "0000", "0001"]
    assert best_trial(PROMOTED, SearchOptions()).trial == "0016"


@pytest.mark.parametrize("objective", ["val_accuracy", "val_macro_f1"])
def test_accuracy_and_f1_are_maximised(objective: str) -> None:
    ranked = rank([trial("0000", 2, 0.8), trial("0001", 2, 0.9)], objective=objective)
    assert names(ranked) == ["0001", "0000"]


def test_a_tie_goes_to_the_lower_id_in_any_order_of_reading() -> None:
    records = [trial(name, 2, 0.5) for name in ("10000", "0003", "9999", "0001")]
    for order in (records, records[::-1]):
        assert names(rank(order, objective="val_loss")) == ["0001", "0003", "9999", "10000"]


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, None])
@pytest.mark.parametrize("objective", ["val_loss", "val_accuracy"])
def test_a_score_that_is_not_finite_is_never_the_best(score: float | None, objective: str) -> None:
    records = [trial("0000", 10, score), trial("0001", 2, 0.5)]
    assert best_trial(records, SearchOptions(objective=objective)).trial == "0001"
    assert leaderboard(records, objective=objective)["trial"].tolist() == ["0001"]


def test_without_a_completed_trial_there_is_no_best_and_the_error_has_the_last_failure() -> None:
    with pytest.raises(SearchError, match="No trial is completed") as caught:
        best_trial([failed("0000"), failed("0001")], SearchOptions())
    assert "found 2 trials" in str(caught.value)
    assert "the loss is NaN" in str(caught.value)
    with pytest.raises(SearchError, match="found 0 trials"):
        best_trial([], SearchOptions())


def simple(
    name: str, score: float, depth: int, units: int, *, epochs: int = 10, error: float | None = 0.1
) -> TrialRecord:
    values: dict[str, int | float | str] = {"head_units": units, "unfreeze_depth": depth}
    return trial(name, epochs, score, hyperparameters=values, standard_error=error)


CANDIDATES = [
    simple("0000", 0.30, depth=3, units=0),
    simple("0001", 0.35, depth=1, units=256),
    simple("0002", 0.39, depth=1, units=64),
    simple("0003", 0.38, depth=1, units=64),
    simple("0004", 0.41, depth=0, units=0),  # 0.30 + 0.10 is the limit
    simple("0005", 0.20, depth=0, units=0, epochs=4),
]


def test_one_standard_error_chooses_the_simplest_trial_within_it_on_the_top_rung() -> None:
    assert best_trial(CANDIDATES, SearchOptions()).trial == "0000"
    chosen = SearchOptions(select="1se")
    assert best_trial(CANDIDATES, chosen).trial == "0003"
    assert best_trial(CANDIDATES[::-1], chosen).trial == "0003"
    assert best_trial([*CANDIDATES[:3], *CANDIDATES[4:]], chosen).trial == "0002"


def test_one_standard_error_is_counted_downwards_for_a_score_to_maximise() -> None:
    records = [simple("0", 0.9, 3, 0), simple("1", 0.82, 0, 0), simple("2", 0.78, 0, 0)]
    chosen = SearchOptions(select="1se", objective="val_accuracy")
    assert best_trial(records, chosen).trial == "1"


def test_without_standard_errors_both_rules_choose_the_best_score() -> None:
    records = [simple("0", 0.3, 3, 0, error=None), simple("1", 0.3001, 0, 0, error=None)]
    assert best_trial(records, SearchOptions(select="1se")).trial == "0"


def test_an_unknown_objective_is_refused() -> None:
    with pytest.raises(UsageError, match="'loss'"):
        find_objective("loss")


def test_a_promoted_configuration_is_shown_once_at_its_highest_rung() -> None:
    board = leaderboard(PROMOTED, objective="val_loss")
    assert board["path"].tolist() == ["0001 → 0012 → 0016", "0002 → 0013", "0000"]
    assert board["rung"].tolist() == [10, 4, 2]
    assert board["rank"].tolist() == [1, 1, 1]
    assert board["seconds"].tolist() == [6.0, 2.0, 2.0]


def test_ranks_count_from_one_on_every_rung() -> None:
    records = [trial(f"{i:04d}", epochs, i / 10) for i, epochs in enumerate((2, 2, 2, 4, 4))]
    board = leaderboard(records, objective="val_loss")
    assert board[["rung", "rank"]].to_numpy().tolist() == [[4, 1], [4, 2], [2, 1], [2, 2], [2, 3]]


def test_a_configuration_whose_promotion_failed_stays_on_its_lower_rung() -> None:
    records = [trial("0000", 2, 0.5), trial("0001", 4, None, status="failed", parent="0000")]
    assert leaderboard(records, objective="val_loss")["path"].tolist() == ["0000"]


def test_parents_in_a_circle_do_not_hang() -> None:
    records = [trial("0000", 2, 0.5, parent="0001"), trial("0001", 4, 0.4, parent="0000")]
    assert leaderboard(records, objective="val_loss")["trial"].tolist() == ["0001"]


def test_empty_and_all_failed_studies_have_an_empty_leaderboard_with_all_columns() -> None:
    for records in ([], [failed("0000")]):
        board = leaderboard(records, objective="val_loss")
        assert board.empty
        assert {"rung", "rank", "path", *hyperparameter_columns([]), "score"} <= {*board.columns}


def test_the_table_has_failed_trials_and_whole_numbers() -> None:
    table = trials_table([trial("0007", 2, 0.5, bracket=2), failed("0008")])
    assert table["trial"].tolist() == ["0007", "0008"]
    assert table["head_units"].tolist() == [256, 256]
    assert table["bracket"].tolist()[0] == 2
    assert table["bracket"].isna().tolist() == [False, True]
    assert table["fine_tune_learning_rate"].isna().all()
    assert table["message"].tolist() == ["", "the loss is NaN"]
    assert str(table["bracket"].dtype) == "Int64"


def test_other_hyperparameters_and_metrics_become_columns() -> None:
    table = trials_table(
        [trial("0000", 2, 0.5, hyperparameters={"rotation": 0.1}, metrics={"auc": 1.0})]
    )
    assert table["rotation"].tolist() == [0.1]
    assert table["auc"].tolist() == [1.0]
