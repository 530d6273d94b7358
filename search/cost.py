"""What a search is going to cost, told before it starts: passes, disk and time."""

from itertools import accumulate
from typing import NamedTuple

from concrete_study.datasets.errors import UsageError
from concrete_study.models.configuration import Configuration
from concrete_study.models.features import GIGABYTE, FeaturePlan, feature_folder
from concrete_study.models.recipe import Phase, plan_phases
from concrete_study.results.formats import counted, duration
from concrete_study.results.records import SearchOptions
from concrete_study.search.simulation import SimulatedTrial
from concrete_study.search.throughput import Rates


class SearchPlan(NamedTuple):
    """What is still to be done, and how fast this machine does it."""

    left: list[SimulatedTrial]  # trials that are still to be run, in their order
    done: int  # trials of an earlier run
    depths: tuple[int, ...]  # unfreeze depths of the space
    architectures: int  # different compiled steps of the space
    train: int  # images
    validation: int
    features: FeaturePlan
    passes: int  # images to be taken through the frozen part
    rates: Rates
    spent: float  # seconds that reading the images and looking for copies have taken

    @property
    def feature_seconds(self) -> float:
        """About how long the passes take."""
        return self.passes * self.rates.passing

    def trial_seconds(self, epochs: int, depth: int | None = None) -> float:
        """About how long a trial takes, compiled; without a depth the mean of the space's."""
        depths = self.depths if depth is None else (depth,)
        return sum(self._seconds(epochs, depth) for depth in depths) / len(depths)

    def _seconds(self, epochs: int, depth: int) -> float:
        return sum(
            phase.epochs
            * (
                self.train * self.rates.training[phase.unfreeze_depth]
                + self.validation * self.rates.validating[phase.unfreeze_depth]
            )
            for phase in _phases(epochs, depth)
        )

    @property
    def seconds(self) -> float:
        """About how long all of it takes."""
        return self.feature_seconds + self.search_seconds

    @property
    def search_seconds(self) -> float:
        """About how long all trials take."""
        return sum(self._shares())

    def _shares(self) -> list[float]:
        """Each trial's seconds, with its part of what all of them compile."""
        once = sum(self.rates.compiling.values()) / len(self.rates.compiling)
        compiling = once * min(self.architectures / max(len(self.left), 1), 1)
        return [compiling + self.trial_seconds(*trial) for trial in self.left]

    def require_features_within(self, seconds: float) -> None:
        """Refuses a time budget in which no trial would begin.

        Raises:
            UsageError: If the passes alone take longer than what is left of it.
        """
        if self.passes and self.spent + self.feature_seconds > seconds:
            raise UsageError(
                f"{duration(seconds)} is too short.",
                f"Expected more than {duration(self.spent)} of reading and "
                f"{duration(self.feature_seconds)} of {self.passes:,} passes through VGG16, before "
                "which no trial begins.",
                "search on fewer images, with fewer views, or for a longer time.",
                parameter="time_budget",
            )

    def trials_within(self, seconds: float) -> list[SimulatedTrial]:
        """The trials that a time holds, in their order; the first is always finished."""
        left = seconds - self.spent - self.feature_seconds
        ends = accumulate(self._shares())
        within = [trial for trial, end in zip(self.left, ends, strict=True) if end <= left]
        return within or self.left[:1]


def architectures_of(options: SearchOptions) -> int:
    """How many compiled steps the space needs: one per head width, in phase 1 and at each depth."""
    depths = {0, *options.space["unfreeze_depth"].choices}
    return len(depths) * len(options.space["head_units"].choices)


def describe_plan(plan: SearchPlan, budget: float | None = None) -> list[str]:
    """The plan in a few lines: what, on what, how long; what a time budget (seconds) leaves."""
    earlier = f"; {plan.done} trials are done" if plan.done else ""
    trials, epochs = len(plan.left), sum(trial.epochs for trial in plan.left)
    lines = [
        f"Plan: {counted(trials, 'trial')}, {counted(epochs, 'epoch')} on {plan.train} training "
        f"and {plan.validation} validation images{earlier}.",
        describe_features(plan.features),
        f"Time: {_parts(plan)}.",
    ]
    if plan.left and budget is not None and plan.spent + plan.seconds > budget:
        within = plan.trials_within(budget)
        lines.append(
            f"--time-budget {duration(budget)} holds about {len(within)} of {trials} trials, "
            f"up to {max(trial.epochs for trial in within)} epochs."
        )
    return lines


def _parts(plan: SearchPlan) -> str:
    trials = f"about {duration(plan.search_seconds)} for the trials"
    if not plan.features.feature_layers:
        return trials
    if not plan.passes:
        return f"{trials}; all features are stored"
    passes = f"{plan.passes:,} passes through VGG16 at {1 / plan.rates.passing:.1f} a second"
    return f"about {duration(plan.feature_seconds)} for {passes}, {trials}"


def describe_features(plan: FeaturePlan) -> str:
    """Says which features are kept, how large they are, and what did not fit."""
    if not plan.feature_layers:
        return f"Features: computed live in every epoch of every trial; {plan.reason}."
    kept = f"{plan.views} views at {', '.join(plan.feature_layers)}, {plan.bytes / GIGABYTE:.2f} GB"
    reason = f"; {plan.reason}" if plan.reason else ""
    return f"Features: {kept} in {feature_folder()}{reason}."


def _phases(epochs: int, depth: int) -> list[Phase]:
    rate = 1.0  # any: it plays no part in the time
    return plan_phases(
        Configuration(head_units=0, dropout=0.0, unfreeze_depth=depth, head_learning_rate=rate),
        epochs,
    )
