"""How sure a result is: intervals of the numbers that are reported."""

from typing import NamedTuple

from scipy.stats import binomtest


class Interval(NamedTuple):
    """A confidence interval, 0 <= low <= high <= 1."""

    low: float
    high: float


def wilson_interval(correct: int, total: int, *, level: float = 0.95) -> Interval:
    """Confidence interval of an accuracy, safe at 0 and 100 %.

    Args:
        correct: Right answers, 0 <= correct <= total.
        total: Images tested, at least 1.
        level: Coverage in (0, 1).

    Returns:
        Lower and upper bound in [0, 1].

    Raises:
        ValueError: If `total` is below 1, or `correct` or `level` is out of range.

    Source: Wilson (1927), "Probable inference, the law of succession, and
    statistical inference".
    """
    if total < 1 or not 0 <= correct <= total:
        raise ValueError(
            f"Need 0 <= correct <= total and total >= 1; received {correct} of {total}."
        )
    if not 0 < level < 1:
        raise ValueError(f"The level must lie between 0 and 1; received {level}.")
    interval = binomtest(correct, total).proportion_ci(confidence_level=level, method="wilson")
    return Interval(float(interval.low), float(interval.high))
