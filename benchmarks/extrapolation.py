"""The cost of trials: FLOPs in forward passes, and seconds extrapolated from timed trials."""

import random
from collections import defaultdict
from collections.abc import Sequence
from statistics import mean

from table import Row

from concrete_study.models.backbone import CONVOLUTIONS
from concrete_study.models.recipe import plan_phases
from concrete_study.search.space import configuration_of
from concrete_study.search.throughput import epoch_forward_passes


def phase_epochs(trial: Row) -> dict[int, int]:
    """Epochs by unfreeze depth, 0 being phase 1, without those that a resumed trial skips."""
    left, epochs = trial.get("skipped", 0), dict[int, int]()
    for phase in plan_phases(configuration_of(trial["hyperparameters"]), trial["epochs"]):
        epochs[phase.unfreeze_depth] = max(0, phase.epochs - left)
        left = max(0, left - phase.epochs)
    return epochs


def flops_of(trials: Sequence[Row], images: dict[str, int], stored: Sequence[str] = ()) -> float:
    """`epoch_forward_passes` of all epochs of all trials."""
    return sum(
        epochs * epoch_forward_passes(depth, images, stored)
        for trial in trials
        for depth, epochs in phase_epochs(trial).items()
    )


def choose_trials(trials: Sequence[Row], count: int, seed: int) -> list[str]:
    """Which trials to time: one of each depth, deepest first, then random ones.

    Of a depth, the shortest with two epochs in phase 2: the first of them traces.
    """
    order = random.Random(seed).sample(list(trials), len(trials))
    by_depth: dict[int, list[Row]] = defaultdict(list)
    for trial in order:
        by_depth[trial["hyperparameters"]["unfreeze_depth"]].append(trial)
    first = [
        min(by_depth[depth], key=lambda t: (t["epochs"] < 4, t["epochs"]))
        for depth in sorted(by_depth, reverse=True)
    ]
    rest = [trial for trial in order if trial not in first]
    return [trial["trial"] for trial in [*first, *rest][:count]]


def predict_seconds(timed: Sequence[Row], wanted: Sequence[Row], images: dict[str, int]) -> float:
    """Estimated seconds of `wanted` trials: set-up, and per phase a first epoch and further ones.

    The epochs of a depth that was not timed are scaled by `epoch_forward_passes`.
    """
    if not wanted:
        return 0.0
    first: dict[int, list[float]] = defaultdict(list)  # by depth; 0 is phase 1
    steady: dict[int, list[float]] = defaultdict(list)
    for trial in timed:
        for phase, depth in enumerate((0, trial["hyperparameters"]["unfreeze_depth"]), start=1):
            seconds = [s for number, s in trial["epoch_seconds"] if number == phase]
            first[depth] += seconds[:1]
            steady[depth] += seconds[1:]
    known = steady if any(steady.values()) else first
    flops = {depth: epoch_forward_passes(depth, images) for depth in range(len(CONVOLUTIONS) + 1)}
    scale = mean(s / flops[depth] for depth, seconds in known.items() for s in seconds)
    epoch = {depth: scale * amount for depth, amount in flops.items()}
    epoch |= {depth: mean(seconds) for depth, seconds in known.items() if seconds}
    start = max(0.0, mean(s - epoch[depth] for depth, seconds in first.items() for s in seconds))
    set_up: float = mean(t["seconds"] - sum(s for _, s in t["epoch_seconds"]) for t in timed)
    return len(wanted) * set_up + sum(
        start + epochs * epoch[depth]
        for trial in wanted
        for depth, epochs in phase_epochs(trial).items()
    )
