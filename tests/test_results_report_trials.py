from pathlib import Path

import numpy as np
import pytest
from small_report import hyperband_trials, trial

from concrete_study.results.objectives import Objective, find_objective
from concrete_study.results.records import TrialRecord
from concrete_study.results.report.importance import FEWEST, importance, significant, spearman
from concrete_study.results.report.trials import (
    on_rung,
    promotions,
    rounds,
    widest_rung,
    without_score,
)

LOSS = find_objective("val_loss")
TRIALS = [
    trial(0, 2, 0.5, bracket=1),
    trial(1, 2, 0.4, bracket=1),
    trial(2, 2, None, bracket=1),
    trial(3, 4, 0.2, bracket=1, parent="0001"),
    trial(4, 4, 0.3, bracket=0),
]


def test_a_configuration_has_the_id_of_its_first_trial_on_every_rung() -> None:
    promoted = promotions(TRIALS, LOSS)
    assert promoted["configuration"].tolist() == ["0000", "0001", "0002", "0001", "0004"]
    assert promoted["promoted"].tolist() == [False, True, False, False, False]
    assert promoted["score"].isna().tolist() == [False, False, True, False, False]


def test_rounds_add_up_trials_epochs_and_time_brackets_apart() -> None:
    table = rounds(promotions(TRIALS, LOSS), LOSS)
    assert table["bracket"].tolist() == [1, 1, 0]
    assert table["rung"].tolist() == [2, 4, 4]
    assert table["trials"].tolist() == [3, 1, 1]
    assert table["without_score"].tolist() == [1, 0, 0]
    assert table["promoted"].tolist() == [1, 0, 0]
    assert table["epochs"].tolist() == [6, 4, 4]
    assert table["seconds"].tolist() == [12.0, 8.0, 8.0]
    assert table["best_score"].tolist() == [0.4, 0.2, 0.3]


def test_a_search_without_brackets_has_one_round() -> None:
    records = [trial(0, 3, 0.5), trial(1, 3, 0.4)]
    table = rounds(promotions(records, LOSS), LOSS)
    assert (len(table), table["trials"][0], bool(table["bracket"].isna()[0])) == (1, 2, True)


def test_trials_are_compared_on_the_rung_of_most_configurations_and_of_equals_the_highest() -> None:
    promoted = promotions(hyperband_trials(), LOSS)
    assert widest_rung(promoted) == 2
    assert widest_rung(promoted[promoted["rung"] > 2]) == 4
    equal = promotions([trial(0, 2, 0.1), trial(1, 4, 0.2)], LOSS)
    assert widest_rung(equal) == 4
    assert widest_rung(promotions([TRIALS[2]], LOSS)) is None


def test_the_trials_of_one_rung_are_sorted_best_first() -> None:
    table = on_rung(TRIALS, 2, LOSS)
    assert table["trial"].tolist() == ["0001", "0000"]
    assert table.columns.tolist() == ["trial", "head_units", "head_learning_rate", "val_loss"]


def test_a_trial_without_a_finite_score_has_a_reason() -> None:
    diverged = trial(5, 2, float("nan"))
    table = without_score([*TRIALS, diverged], LOSS)
    assert table["trial"].tolist() == ["0002", "0005"]
    assert table["reason"].tolist() == [
        "the loss is not a number",
        "the score is not a finite number",
    ]


def ordered(count: int) -> list[TrialRecord]:
    """Trials in which a higher head learning rate is always better; head units do not matter."""
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


def test_importance_finds_the_hyperparameter_that_orders_the_scores_and_its_sign() -> None:
    trials = on_rung(ordered(12), 2, LOSS)
    table = importance(trials, LOSS)
    assert table["hyperparameter"].tolist() == ["head_learning_rate", "head_units"]
    first = table.iloc[0]
    assert (first["trials"], first["correlation"]) == (12, pytest.approx(1.0))
    assert first["low"] > 0.9
    assert first["p_corrected"] == pytest.approx(2 * first["p"])
    assert table["low"][1] < 0 < table["high"][1]
    assert significant(table) == ["head_learning_rate"]


def test_the_sign_follows_the_objective() -> None:
    trials = on_rung(ordered(6), 2, LOSS)
    table = importance(trials, Objective("val_loss", "max", "accuracy"))
    assert table.set_index("hyperparameter")["correlation"]["head_learning_rate"] == -1.0


def test_too_few_trials_have_no_importance() -> None:
    trials = on_rung(ordered(FEWEST - 1), 2, LOSS)
    table = importance(trials, LOSS)
    assert table["trials"].tolist() == [FEWEST - 1] * 2
    assert table["correlation"].isna().all()
    assert significant(table) == []


def test_five_trials_in_perfect_order_have_the_exact_p_value() -> None:
    trials = on_rung(ordered(5), 2, LOSS)[["trial", "head_learning_rate", "val_loss"]]
    table = importance(trials, LOSS)
    assert table["p"][0] == pytest.approx(2 / 120)


def test_the_corrected_p_is_at_most_1() -> None:
    random = np.random.default_rng(0)
    names = ("dropout", "head_learning_rate", "fine_tune_learning_rate")
    drawn = [dict(zip(names, random.random(3).tolist(), strict=True)) for _ in range(8)]
    records = [
        trial(n, 2, float(random.random()), hyperparameters=values)
        for n, values in enumerate(drawn)
    ]
    table = importance(on_rung(records, 2, LOSS), LOSS)
    assert (3 * table["p"]).max() > 1
    assert table["p_corrected"].tolist() == pytest.approx(np.minimum(3 * table["p"], 1).tolist())


def test_a_hyperparameter_that_never_varied_is_left_out() -> None:
    trials = on_rung([trial(n, 2, 0.1 * (n + 1)) for n in range(6)], 2, LOSS)
    assert importance(trials, LOSS).empty


def test_our_rank_correlation_is_scipy_s() -> None:
    from scipy.stats import spearmanr

    random = np.random.default_rng(1)
    first, second = random.normal(size=9), random.integers(0, 3, size=9)
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert spearman(np.zeros(4), np.arange(4)) == 0


def test_no_folder_is_needed(tmp_path: Path) -> None:
    assert rounds(promotions([], LOSS), LOSS).empty
