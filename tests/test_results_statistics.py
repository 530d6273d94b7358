import math

import numpy as np
import pytest

from concrete_study.results.statistics import (
    log_loss,
    mean_interval,
    wilson_interval,
)


def test_the_loss_is_the_mean_of_the_true_classes_in_float64() -> None:
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.5, 0.5]], np.float32)
    losses = [-math.log(float(p)) for p in probabilities[[0, 1, 2], [0, 0, 1]]]
    loss = log_loss(probabilities, np.array([0, 0, 1]))
    assert loss == pytest.approx(sum(losses) / 3, rel=1e-14)


def test_a_probability_rounded_above_one_has_no_negative_loss() -> None:
    assert log_loss(np.array([[1.0005, 0.0]]), np.array([0])) == 0


def test_interval_matches_wilsons_formula() -> None:
    # (p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n) at p = 0.9, n = 100, z = 1.959964
    assert wilson_interval(90, 100) == pytest.approx((0.825634, 0.944771), abs=1e-6)


def test_interval_is_not_empty_at_nought_and_at_a_hundred_percent() -> None:
    assert wilson_interval(50, 50) == pytest.approx((0.928652, 1.0), abs=1e-6)
    assert wilson_interval(0, 50) == pytest.approx((0.0, 0.071348), abs=1e-6)


def test_a_higher_level_gives_a_wider_interval() -> None:
    narrow, wide = wilson_interval(8, 10), wilson_interval(8, 10, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(("correct", "total"), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(correct: int, total: int) -> None:
    with pytest.raises(ValueError, match=f"received {correct} of {total}"):
        wilson_interval(correct, total)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_an_impossible_level_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level"):
        wilson_interval(1, 2, level=level)


def test_the_interval_of_a_mean_is_students() -> None:
    # 3 +- t(0.975, 4) sqrt(2.5 / 5) with t = 2.776445; at 99 % t = 4.604095.
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert mean_interval(values) == pytest.approx((1.036757, 4.963243), abs=1e-6)
    assert mean_interval(values, level=0.99) == pytest.approx((-0.255587, 6.255587), abs=1e-6)
    assert mean_interval([0.0, 1.0]) == pytest.approx((-5.853102, 6.853102), abs=1e-6)


def test_the_interval_of_equal_values_is_their_mean() -> None:
    assert mean_interval([0.25, 0.25]) == (0.25, 0.25)


def test_one_value_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least 2 values; received 1"):
        mean_interval([0.5])
