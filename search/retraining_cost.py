"""The estimated cost of retraining the best trial, which follows a search.

The best configuration is not known before the search, so all times are means over its space.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from concrete_study.datasets.batches import View
from concrete_study.datasets.loading import StudyData
from concrete_study.datasets.shifts import SHIFTS
from concrete_study.datasets.splits import EXTERNAL
from concrete_study.models.feature_plan import FeaturePlan
from concrete_study.models.features import FeatureStore
from concrete_study.results.formats import counted, duration
from concrete_study.search.cost import Retraining, SearchPlan, Workforce, describe_budget
from concrete_study.search.parsing import parse_budget
from concrete_study.search.progress import SearchProgress

HOUR = 3600.0  # seconds
LONG = HOUR  # from which a subsample or a time budget is suggested
SUBSAMPLE = 1000  # images
WORTHWHILE = 0.75  # of the whole time, at most, that a suggestion takes


class Suggestion(NamedTuple):
    """A value of an argument that shortens the search and the retraining."""

    parameter: str
    value: int | str
    seconds: float  # estimated with it
    instead_of: float  # estimated without it


def missing_images(stores: Sequence[FeatureStore], views_of_each: Sequence[Sequence[View]]) -> int:
    """The number of images, once for each view, whose features are not stored."""
    return sum(
        len(store.subset)
        for store, views in zip(stores, views_of_each, strict=True)
        for view in views
        if store.missing(view)
    )


def retraining_of(
    data: StudyData, epochs: int, searched: Mapping[int, list[FeatureStore]], features: FeaturePlan
) -> Retraining:
    """What the retraining works on.

    Args:
        data: All images of the study.
        epochs: Of both phases together.
        searched: The search's stores of train and validation images, by image size.
        features: Which of them are stored.
    """
    counts, views = data.counts(), [[*range(features.views)], [0, *SHIFTS]]
    stores = {
        size: [
            FeatureStore(store.network, data.subset(name), store.feature_layers, size=size)
            for name, store in zip(("train", "validation"), pair, strict=True)
        ]
        for size, pair in searched.items()
    }
    return Retraining(
        train=counts["train"],
        validation=counts["validation"],
        test=counts["test"] + counts.get(EXTERNAL, 0),
        epochs=epochs,
        subsample=any(
            store.key != part.key
            for size, pair in searched.items()
            for store, part in zip(stores[size], pair, strict=True)
        ),
        forward_passes={size: missing_images(pair, views) for size, pair in stores.items()},
    )


def retraining_passes(plan: SearchPlan) -> float:
    """Forward passes of a retraining: features that are not stored, and predictions."""
    work = plan.retraining
    missing = sum(work.forward_passes.values()) / len(work.forward_passes) if work.subsample else 0
    return missing + work.validation + work.test


def retraining_seconds(plan: SearchPlan) -> float:
    """Estimated time of a retraining, in a new process that compiles its steps.

    The predictions after it are computed in float32, and timed in the precision of the search.
    """
    work, times = plan.retraining, plan.times
    whole = plan._replace(
        train=work.train,
        validation=work.validation * (1 + len(SHIFTS)),
        workforce=Workforce(),  # one process
    )
    area = sum(map(plan.area, plan.sizes)) / len(plan.sizes)
    compilation = sum(
        sum(times.compilation[phase] for phase in {0, depth}) for depth in plan.depths
    ) / len(plan.depths)
    passes = retraining_passes(plan) * times.forward_pass * area
    return compilation + passes + whole.trial_seconds(work.epochs)


def describe_retraining(plan: SearchPlan) -> str:
    """The retraining in one line."""
    work = plan.retraining
    return (
        f"Retraining the best trial afterwards: about {duration(retraining_seconds(plan))} "
        f"({round(retraining_passes(plan)):,} forward passes, {counted(work.epochs, 'epoch')} on "
        f"{work.train:,} images, test on {work.test:,})."
    )


def suggest_subsample(plan: SearchPlan) -> Suggestion | None:
    """A subsample for a search that, with the retraining, takes over an hour on all images.

    None if it would not save a quarter of that time.
    """
    images = sum(plan.images)
    whole = plan.seconds + retraining_seconds(plan)
    if plan.retraining.subsample or whole < LONG or images <= SUBSAMPLE:
        return None
    share = SUBSAMPLE / images
    part = plan._replace(
        train=round(plan.train * share),
        validation=round(plan.validation * share),
        forward_passes=dict.fromkeys(plan.sizes, round(plan.all_forward_passes * share)),
        retraining=plan.retraining._replace(subsample=True),
    )
    seconds = part.seconds + retraining_seconds(part)
    if seconds > WORTHWHILE * whole:
        return None
    return Suggestion("search_images", SUBSAMPLE, seconds, whole)


def suggest_budget(plan: SearchPlan) -> Suggestion | None:
    """A time budget in whole hours that leaves a quarter of the trials' time, or more.

    None if search and retraining take less than an hour, or it would not save a quarter of them.
    """
    whole = plan.seconds + retraining_seconds(plan)
    if whole < LONG or not plan.remaining:
        return None
    start = plan.elapsed + plan.feature_seconds
    hours = math.ceil((start + plan.search_seconds / 4) / HOUR)
    seconds = hours * HOUR - plan.elapsed + retraining_seconds(plan)
    if seconds > WORTHWHILE * whole:
        return None
    return Suggestion("time_budget", f"{hours}h", seconds, whole)


def suggest(plan: SearchPlan, progress: SearchProgress, *, is_resumed: bool) -> None:
    """Reports what shortens a search of over an hour; one that is resumed keeps its images."""
    if not is_resumed and (subsample := suggest_subsample(plan)):
        progress.suggest(*subsample)
    elif shorter := suggest_budget(plan):
        progress.suggest(*shorter)
        progress.log(describe_budget(plan, parse_budget(str(shorter.value))))
