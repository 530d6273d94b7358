from pathlib import Path

import numpy as np
import pytest
from small_report import hyperband_trials, trial

from concrete_study.results.records import TrialRecord
from concrete_study.results.report.importance import FEWEST, importance, spearman, told_apart
from concrete_study.results.report.trials import (
    by_configuration,
    climbs,
    curves,
    on_rung,
    rounds,
    widest_rung,
    without_score,
)

TRIALS = [
    trial(0, 2, 0.5, bracket=1),
    trial(1, 2, 0.4, bracket=1),
    trial(2, 2, None, bracket=1),
    trial(3, 4, 0.2, bracket=1, parent="0001"),
    trial(4, 4, 0.3, bracket=0),
]


def test_a_configuration_keeps_its_first_trial_s_name_over_the_rungs() -> None:
    climbed = climbs(TRIALS, objective="val_loss")
    assert climbed["configuration"].tolist() == ["0000", "0001", "0002", "0001", "0004"]
    assert climbed["promoted"].tolist() == [False, True, False, False, False]
    assert climbed["score"].isna().tolist() == [False, False, True, False, False]


def test_rounds_add_up_trials_epochs_and_time_brackets_apart() -> None:
    table = rounds(climbs(TRIALS, objective="val_loss"), lowest_is_best=True)
    assert table["bracket"].tolist() == [1, 1, 0]
    assert table["rung"].tolist() == [2, 4, 4]
    assert table["trials"].tolist() == [3, 1, 1]
    assert table["without_score"].tolist() == [1, 0, 0]
    assert table["promoted"].tolist() == [1, 0, 0]
    assert table["epochs"].tolist() == [6, 4, 4]
    assert table["seconds"].tolist() == [12.0, 8.0, 8.0]
    assert table["best_score"].tolist() == [0.4, 0.2, 0.3]


def test_configurations_stand_once_with_a_score_for_each_rung() -> None:
    table = by_configuration(climbs(TRIALS, objective="val_loss"), lowest_is_best=True)
    assert table["configuration"].tolist() == ["0001", "0000", "0002", "0004"]
    assert table["score_at_2"].fillna(9).tolist() == [0.4, 0.5, 9, 9]
    assert table["score_at_4"].fillna(9).tolist() == [0.2, 9, 9, 0.3]
    assert table["seconds"].tolist() == [12.0, 4.0, 4.0, 8.0]


def test_a_search_without_brackets_has_one_round() -> None:
    records = [trial(0, 3, 0.5), trial(1, 3, 0.4)]
    climbed = climbs(records, objective="val_loss")
    table = rounds(climbed, lowest_is_best=True)
    assert (len(table), table["trials"][0], bool(table["bracket"].isna()[0])) == (1, 2, True)
    assert len(by_configuration(climbed, lowest_is_best=True)) == 2


def test_trials_are_compared_on_the_rung_of_most_configurations_and_of_equals_the_highest() -> None:
    climbed = climbs(hyperband_trials(), objective="val_loss")
    assert widest_rung(climbed) == 2
    assert widest_rung(climbed[climbed["rung"] > 2]) == 4
    equal = climbs([trial(0, 2, 0.1), trial(1, 4, 0.2)], objective="val_loss")
    assert widest_rung(equal) == 4
    assert widest_rung(climbs([TRIALS[2]], objective="val_loss")) is None


def test_one_rung_s_trials_come_best_first_and_no_other_rung_s() -> None:
    table = on_rung(TRIALS, 2, objective="val_loss")
    assert table["trial"].tolist() == ["0001", "0000"]
    assert table.columns.tolist() == ["trial", "head_units", "head_learning_rate", "val_loss"]


def test_a_score_that_is_no_number_is_told_with_its_reason() -> None:
    diverged = trial(5, 2, float("nan"))
    table = without_score([*TRIALS, diverged], objective="val_loss")
    assert table["trial"].tolist() == ["0002", "0005"]
    assert table["reason"].tolist() == ["the loss is not a number", "the score is not a number"]


def test_curves_are_of_one_rung_and_know_its_best() -> None:
    table = curves(TRIALS, 4, objective="val_loss")
    assert table["trial"].tolist() == ["0003"] * 4 + ["0004"] * 4
    assert set(table.loc[table["best"], "trial"]) == {"0003"}
    assert table["val_loss"].iloc[3] == pytest.approx(0.2)


def ordered(count: int) -> list[TrialRecord]:
    """Trials of which a higher head rate is always better; units do not matter."""
    units = [0, 64, 64, 0] * 3
    return [
        trial(
            n,
            2,
            1.0 / (n + 1),
            hyperparameters={"head_units": units[n], "head_learning_rate": 1e-5 * (n + 1)},
        )
        for n in range(count)
    ]


def test_importance_finds_what_orders_the_scores_and_says_which_way() -> None:
    trials = on_rung(ordered(12), 2, objective="val_loss")
    table = importance(trials, objective="val_loss", lowest_is_best=True)
    assert table["hyperparameter"].tolist() == ["head_learning_rate", "head_units"]
    first = table.iloc[0]
    assert (first["trials"], first["correlation"]) == (12, pytest.approx(1.0))
    assert first["low"] > 0.9
    assert first["p_corrected"] == pytest.approx(2 * first["p"])
    assert table["low"][1] < 0 < table["high"][1]
    assert told_apart(table) == ["head_learning_rate"]


def test_the_sign_follows_the_objective() -> None:
    trials = on_rung(ordered(6), 2, objective="val_loss")
    table = importance(trials, objective="val_loss", lowest_is_best=False)
    assert table.set_index("hyperparameter")["correlation"]["head_learning_rate"] == -1.0


def test_of_too_few_trials_nothing_is_said() -> None:
    trials = on_rung(ordered(FEWEST - 1), 2, objective="val_loss")
    table = importance(trials, objective="val_loss", lowest_is_best=True)
    assert table["trials"].tolist() == [FEWEST - 1] * 2
    assert table["correlation"].isna().all()
    assert told_apart(table) == []


def test_five_trials_in_perfect_order_have_the_exact_chance() -> None:
    trials = on_rung(ordered(5), 2, objective="val_loss")[
        ["trial", "head_learning_rate", "val_loss"]
    ]
    table = importance(trials, objective="val_loss", lowest_is_best=True)
    assert table["p"][0] == pytest.approx(2 / 120)


def test_a_hyperparameter_that_never_varied_is_left_out() -> None:
    trials = on_rung([trial(n, 2, 0.1 * (n + 1)) for n in range(6)], 2, objective="val_loss")
    assert importance(trials, objective="val_loss", lowest_is_best=True).empty


def test_our_rank_correlation_is_scipy_s() -> None:
    from scipy.stats import spearmanr

    random = np.random.default_rng(1)
    first, second = random.normal(size=9), random.integers(0, 3, size=9)
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert spearman(np.zeros(4), np.arange(4)) == 0


def test_no_folder_is_needed(tmp_path: Path) -> None:
    assert rounds(climbs([], objective="val_loss"), lowest_is_best=True).empty
