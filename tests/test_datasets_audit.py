import pytest
from small_records import measured as measured_image

from concrete_study.datasets.audit import find_outliers
from concrete_study.datasets.measures import Measured


def measured(*brightness: float) -> list[Measured]:
    return [measured_image(f"{b}", brightness=b) for b in brightness]


def test_the_score_is_iglewicz_and_hoaglins_modified_z_score() -> None:
    (outlier,) = find_outliers(measured(100, 101, 102, 103, 110))  # median 102, MAD 1
    assert (outlier.value, outlier.median) == (110, 102)
    assert outlier.score == pytest.approx(0.6745 * 8, abs=1e-9)


def test_a_score_of_3_5_is_the_limit() -> None:
    assert find_outliers(measured(100, 101, 102, 103, 107)) == []  # 3.37
    assert find_outliers(measured(100, 101, 102, 103, 107.3))  # 3.57
