"""The estimated cost of a search before it starts: trials, forward passes, disk space and time."""

from collections.abc import Sequence
from itertools import accumulate, product
from typing import NamedTuple

from concrete_study.datasets.errors import UsageError
from concrete_study.models.configuration import Configuration
from concrete_study.models.feature_plan import GIGABYTE, FeaturePlan
from concrete_study.models.features import feature_folder
from concrete_study.models.recipe import plan_phases
from concrete_study.results.formats import counted, duration
from concrete_study.results.records import ClassWeight, SearchOptions
from concrete_study.search.simulation import SimulatedTrial
from concrete_study.search.space import architectures
from concrete_study.search.throughput import StepTimes


class Retraining(NamedTuple):
    """What the retraining of the best trial works on: all images of the study."""

    train: int  # images
    validation: int
    test: int  # with external test images
    epochs: int
    subsample: bool  # whether the search uses only a part of the images
    forward_passes: dict[int, int]  # images whose features are not stored yet, by image size


class Workforce(NamedTuple):
    """Who runs the trials, as far as the estimated time depends on it."""

    workers: int = 1
    slowdown: float = 1.0  # of a worker against this process, which has all CPUs of the machine


class SearchPlan(NamedTuple):
    """What a search still has to do, and how fast this machine is. Times are in seconds."""

    remaining: Sequence[SimulatedTrial]  # in the order in which they run
    completed: int  # trials of an earlier run
    depths: tuple[int, ...]  # unfreeze depths of the space
    sizes: tuple[int, ...]  # image sizes of the space
    architectures: int  # of the space; each is compiled once
    images: tuple[int, int]  # training and validation images
    train: int  # images of an epoch, of all folds and repeats together
    validation: int  # likewise, and under each shift
    folds: int  # 0: a single split
    repeats: int
    class_weight: ClassWeight
    imbalance: float  # training images of the largest class over those of the smallest
    features: FeaturePlan
    forward_passes: dict[int, int]  # images whose features are not stored yet, by image size
    all_forward_passes: int  # of one image size if nothing is stored
    times: StepTimes
    retraining: Retraining
    elapsed: float  # for reading the images and finding near-duplicates
    workforce: Workforce = Workforce()

    @property
    def feature_seconds(self) -> float:
        """Estimated time of the forward passes."""
        return sum(map(self.size_seconds, self.forward_passes))

    @property
    def search_seconds(self) -> float:
        """Estimated time of all trials.

        Of several workers their mean, but not less than the rounds that wait for each other.
        """
        seconds = self._seconds_by_trial()
        longest: dict[int | None, dict[int, float]] = {}  # trial, by bracket and round
        for trial, each in zip(self.remaining, seconds, strict=True):
            rounds = longest.setdefault(trial.bracket, {})
            rounds[trial.round] = max(each, rounds.get(trial.round, 0.0))
        chains = [sum(rounds.values()) for rounds in longest.values()]
        return max([sum(seconds) / self.workforce.workers, *chains])

    @property
    def seconds(self) -> float:
        """Estimated time of forward passes and trials."""
        return self.feature_seconds + self.search_seconds

    def size_seconds(self, size: int) -> float:
        """Estimated time of the forward passes of one image size."""
        passes = self.forward_passes[size] * self.workforce.slowdown / self.workforce.workers
        return passes * self.times.forward_pass * self.area(size)

    def trial_seconds(
        self, epochs: int, depth: int | None = None, size: int | None = None
    ) -> float:
        """Estimated time of a compiled trial on one worker.

        Without a depth or a size it is a mean over the space.
        """
        depths = self.depths if depth is None else (depth,)
        sizes = self.sizes if size is None else (size,)
        pairs = list(product(depths, sizes))
        mean = sum(self._seconds(epochs, *pair) for pair in pairs) / len(pairs)
        return mean * self.workforce.slowdown

    def area(self, size: int) -> float:
        """An image's pixels, relative to the largest images', which were timed."""
        return (size / max(self.sizes)) ** 2

    def _seconds(self, epochs: int, depth: int, size: int) -> float:
        configuration = Configuration(
            head_units=0, dropout=0.0, unfreeze_depth=depth, head_learning_rate=0.0
        )
        return sum(
            phase.epochs
            * (self.area(size) if phase.unfreeze_depth else 1.0)
            * (
                self.train * self.times.training[phase.unfreeze_depth]
                + self.validation * self.times.validation[phase.unfreeze_depth]
            )
            for phase in plan_phases(configuration, epochs)
        )

    def _seconds_by_trial(self) -> list[float]:
        """Each trial's time, with its share of the compilation, which each worker does."""
        once = sum(self.times.compilation.values()) / len(self.times.compilation)
        compiled = self.architectures * self.workforce.workers
        share = once * self.workforce.slowdown * min(compiled / max(len(self.remaining), 1), 1)
        return [share + self.trial_seconds(t.epochs, t.depth, t.size) for t in self.remaining]

    def ensure_features_within(self, budget: float) -> None:
        """Refuses a time budget in which no trial would start.

        Raises:
            UsageError: If the forward passes alone take longer than what is left of it.
        """
        passes = sum(self.forward_passes.values())
        if passes and self.elapsed + self.feature_seconds > budget:
            raise UsageError(
                f"a time budget of {duration(budget)} is too short.",
                f"Expected more than {duration(self.elapsed)} for reading the images and "
                f"{duration(self.feature_seconds)} for {passes:,} forward passes "
                "through VGG16, after which the first trial starts.",
                "a longer time budget, fewer augmented views, or a subsample of the images.",
                parameter="time_budget",
            )

    def trials_within(self, budget: float) -> Sequence[SimulatedTrial]:
        """The trials that fit into a time budget, in their order; the first always does."""
        left = budget - self.elapsed - self.feature_seconds
        ends = list(accumulate(self._seconds_by_trial()))
        at_once = ends[-1] / self.search_seconds if ends and ends[-1] else 1.0
        pairs = zip(self.remaining, ends, strict=True)
        within = [trial for trial, end in pairs if end <= left * at_once]
        return within or self.remaining[:1]


def count_architectures(options: SearchOptions) -> int:
    """The number of architectures of a space, in phase 1 and in phase 2."""
    return len(architectures(options.space))


def describe_plan(plan: SearchPlan, budget: float | None = None) -> list[str]:
    """The plan in a few lines.

    Args:
        plan: From `Preparation.plan`.
        budget: A time budget in seconds; if it is too short, a line has the trials that fit.
    """
    completed = f" {counted(plan.completed, 'trial')} completed before." if plan.completed else ""
    trials, epochs = len(plan.remaining), sum(trial.epochs for trial in plan.remaining)
    lines = [
        f"Plan: {counted(trials, 'trial')}, {counted(epochs, 'epoch')}, {_describe_images(plan)}."
        f"{completed}",
        *_describe_class_weight(plan),
        describe_features(plan.features),
        f"Estimated time: {_describe_time(plan)}.",
    ]
    if plan.remaining and budget is not None and plan.elapsed + plan.seconds > budget:
        lines.append(describe_budget(plan, budget))
    return lines


def describe_budget(plan: SearchPlan, budget: float) -> str:
    """The trials that fit into a time budget in seconds, in one line."""
    within = plan.trials_within(budget)
    return (
        f"About {len(within)} of {len(plan.remaining)} trials, up to "
        f"{max(t.epochs for t in within)} epochs, fit into the time budget of {duration(budget)}."
    )


def _describe_images(plan: SearchPlan) -> str:
    repeats = f", {counted(plan.repeats, 'seed')} each" if plan.repeats > 1 else ""
    train, validation = plan.images
    if plan.folds:
        return f"{plan.folds}-fold cross-validation on {train + validation} images{repeats}"
    return f"{train} training and {validation} validation images{repeats}"


def _describe_class_weight(plan: SearchPlan) -> list[str]:
    if plan.class_weight == "none":
        return []
    times = f"{plan.imbalance:.1f} times the images of the smallest"
    return [f"Class weights: balanced in the training loss; the largest class has {times}."]


def _describe_time(plan: SearchPlan) -> str:
    workers = plan.workforce.workers
    parallel = f" on {workers} workers" if workers > 1 else ""
    trials = f"{duration(plan.search_seconds)} for the trials{parallel}"
    if not plan.features.feature_layers:
        return trials
    missing = [size for size, count in plan.forward_passes.items() if count]
    if not missing:
        return f"{trials}; all features are stored"
    passes = " and ".join(
        f"{duration(plan.size_seconds(size))} for {plan.forward_passes[size]:,} forward passes "
        f"through VGG16 at {size} pixels ({plan.forward_passes[size] / plan.size_seconds(size):.1f}"
        " images/s)"
        for size in missing
    )
    return f"{passes}, {trials}"


def describe_features(plan: FeaturePlan) -> str:
    """Which features are stored, their size, and what does not fit."""
    if not plan.feature_layers:
        return f"Features: none stored, computed in every epoch of every trial; {plan.reason}."
    views = counted(plan.views, "augmented view")
    reason = f"; {plan.reason}" if plan.reason else ""
    size = f"{plan.bytes / GIGABYTE:.2f} GB in {feature_folder()}"
    return f"Features: {views} at {', '.join(plan.feature_layers)}; {size}{reason}."
