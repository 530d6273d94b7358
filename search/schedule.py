"""What a search will run, known before it starts.

BatchSource: Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
Optimization" (JMLR 2018), with the rounding of keras-tuner 1.4.8's `HyperbandOracle`,
which tests hold this against. (The formula in Keras Tuner's docstring is 2.7 times off.)
"""

import math
from typing import NamedTuple


class Round(NamedTuple):
    """Trials of one epoch budget (rung); `bracket` and `round` count as Keras Tuner does."""

    bracket: int
    round: int
    trials: int
    epochs: int


def hyperband_schedule(max_epochs: int, *, factor: int = 3, iterations: int = 1) -> list[Round]:
    """Hyperband's rounds in the order in which they run.

    Args:
        max_epochs: Budget of the top rung, at least 1.
        factor: How many times more a next round spends on each of fewer trials, at least 2.
        iterations: How often the whole is repeated, at least 1.

    Raises:
        ValueError: If an argument is below its least value.
    """
    if max_epochs < 1 or factor < 2 or iterations < 1:
        raise ValueError(
            "Expected max_epochs >= 1, factor >= 2, iterations >= 1. "
            f"Received: {max_epochs=}, {factor=}, {iterations=}"
        )
    brackets, budget = 0, float(max_epochs)
    while budget >= 1:
        brackets, budget = brackets + 1, budget / factor
    finalists = math.ceil(1 + math.log(max_epochs, factor))
    rounds = [
        Round(
            bracket,
            number,
            math.ceil(finalists / (bracket + 1) * factor ** (bracket - number)),
            math.ceil(max_epochs / factor ** (bracket - number)),
        )
        for bracket in reversed(range(brackets))
        for number in range(bracket + 1)
    ]
    return rounds * iterations


def flat_schedule(trials: int, max_epochs: int) -> list[Round]:
    """Random, Bayesian and grid search: every trial has the whole budget."""
    return [Round(0, 0, trials, max_epochs)]


def total_trials(schedule: list[Round]) -> int:
    """Trials of all rounds."""
    return sum(r.trials for r in schedule)


def total_epochs(schedule: list[Round]) -> int:
    """Epochs of all rounds; each trial starts afresh, so a rung costs its whole budget."""
    return sum(r.trials * r.epochs for r in schedule)
