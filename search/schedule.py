"""The rounds of a search, known before it starts.

Source: Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
Optimization" (JMLR 2018), with the rounding of keras-tuner 1.4.8's `HyperbandOracle`,
which tests hold this against. (The formula in Keras Tuner's docstring is 2.7 times off.)
"""

import math
from collections import Counter
from collections.abc import Sequence

from concrete_study.results.records import Round, TrialRecord


def hyperband_schedule(max_epochs: int, *, factor: int = 3, iterations: int = 1) -> list[Round]:
    """Computes Hyperband's rounds, in the order in which they run.

    Args:
        max_epochs: Budget of the top rung, at least 1.
        factor: By how much the epochs of a round grow, and its trials shrink, at least 2.
        iterations: Number of repetitions, at least 1.

    Raises:
        ValueError: If an argument is too small.
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
            bracket=bracket,
            round=number,
            trials=math.ceil(finalists / (bracket + 1) * factor ** (bracket - number)),
            epochs=math.ceil(max_epochs / factor ** (bracket - number)),
        )
        for bracket in reversed(range(brackets))
        for number in range(bracket + 1)
    ]
    return rounds * iterations


def flat_schedule(trials: int, max_epochs: int) -> list[Round]:
    """Random, Bayesian and grid search: every trial has the whole budget."""
    return [Round(bracket=0, round=0, trials=trials, epochs=max_epochs)]


def total_trials(schedule: list[Round]) -> int:
    """Trials of all rounds."""
    return sum(r.trials for r in schedule)


def planned_trials(schedule: list[Round], records: Sequence[TrialRecord]) -> int:
    """Trials of all rounds, with the replacements of those that failed in a first round."""
    most = {r.bracket: r.trials for r in schedule if r.round == 0}
    failed = Counter(record.bracket for record in records if record.is_replaced)
    return total_trials(schedule) + sum(
        min(count, most[bracket]) for bracket, count in failed.items() if bracket is not None
    )


def total_epochs(schedule: list[Round]) -> int:
    """Epochs of all rounds; no trial continues another, so each costs its whole budget."""
    return sum(r.trials * r.epochs for r in schedule)
