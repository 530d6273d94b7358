import pytest

from concrete_study.results.statistics import wilson_interval


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
