"""Keras Tuner's Hyperband, in which a failed trial of a first round is replaced.

Keras Tuner promotes from completed trials only: one failed trial in a first round of 12 leaves two
trials out of the later rounds, and three of them leave no final.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import Any, TypeAlias

import keras_tuner

Values: TypeAlias = dict[str, Any]  # of Keras Tuner's hyperparameters


class HyperbandOracle(keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    """Hyperband with first rounds that are refilled, each with at most as many trials as it has.

    Configurations are drawn in the order of Keras Tuner, those of all first rounds before any
    replacement. So a failed trial changes none of the configurations of other brackets, and
    without one the search is Keras Tuner's.

    Args:
        **arguments: Of Keras Tuner's oracle; its space must be complete.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._failed: Counter[int] = Counter()  # trials taken out of a first round, by bracket
        numbers = reversed(range(self._get_num_brackets()))
        self._sizes = [self._get_size(n, 0) for n in numbers] * self.hyperband_iterations
        self._planned = [list(self._draw(size)) for size in self._sizes]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """See Keras Tuner; takes failed trials out of first rounds before."""
        for bracket in self._brackets:
            self._take_out_failed(bracket["number"], bracket["rounds"][0])
        response: dict[str, Any] = super().populate_space(trial_id)
        return response

    def _take_out_failed(self, number: int, trials: list[dict[str, str]]) -> None:
        """Makes room for the replacement of each failed trial of a first round, if there is one."""
        for info in list(trials):
            if self.trials[info["id"]].status != "FAILED":
                continue
            if self._failed[number] < len(self._replacements[number]):
                trials.remove(info)
                self._failed[number] += 1

    def _start_new_bracket(self) -> None:
        super()._start_new_bracket()
        brackets = self._get_num_brackets()
        before = brackets * (self._current_iteration + 1)
        self._brackets[-1]["number"] = before - self._current_bracket - 1  # from 0, as they run

    def _random_trial(self, trial_id: str, bracket: dict[str, Any]) -> dict[str, Any]:
        number, drawn = bracket["number"], len(bracket["rounds"][0])
        drawn += self._failed[number]
        size = self._sizes[number]
        source = self._planned[number] if drawn < size else self._replacements[number]
        index = drawn if drawn < size else drawn - size
        self._next = source[index] if index < len(source) else None
        response: dict[str, Any] = super()._random_trial(trial_id, bracket)
        return response

    def _random_values(self) -> Values | None:
        """Called by `_random_trial` alone."""
        return self._next

    @cached_property
    def _replacements(self) -> list[list[Values]]:
        """By bracket; fewer than it has trials if the space has no more configurations."""
        return [list(self._draw(size)) for size in self._sizes]

    def _draw(self, most: int) -> Iterator[Values]:
        """Draws configurations that were not drawn before, until the space has no other."""
        for values in islice(iter(super()._random_values, None), most):
            self._tried_so_far.add(self._compute_values_hash(values))
            yield values
