"""Rules for the options of a search, and what follows from them: its schedule and seeds."""

import math
from collections import Counter
from typing import get_args

from concrete_study.datasets.errors import UsageError
from concrete_study.datasets.splits import parse_shares
from concrete_study.models.precision import PRECISIONS
from concrete_study.results.objectives import find_objective
from concrete_study.results.records import ClassWeight, Round, SearchOptions
from concrete_study.results.trials import SELECTIONS
from concrete_study.search.images import given_folders
from concrete_study.search.schedule import flat_schedule, hyperband_schedule
from concrete_study.search.space import size_of

ALGORITHMS = ("hyperband", "random", "bayesian", "grid")
DEFAULT_TRIALS = 20
BALANCED_ABOVE = 1.5  # times the images of the smallest class
LARGEST_SEED = 1_000_000  # seeds derived from it stay within 32 bits
_LOWEST = {
    "max_epochs": 1,
    "factor": 2,
    "iterations": 1,
    "trials": 1,
    "batch_size": 1,
    "views": 1,
    "cache_gb": 0,
    "max_megapixels": 1,
    "search_images": 4,
    "folds": 0,
    "repeats": 1,
    "seed": 0,
}


def check(options: SearchOptions) -> None:
    """Checks every option, alone and against the others.

    Raises:
        UsageError: If an option is out of its range, or excluded by another; `parameter` is its
            name.
    """
    _one_of("algorithm", options.algorithm, ALGORITHMS)
    find_objective(options.objective)
    _one_of("select", options.select, SELECTIONS)
    if options.class_weight is not None:
        _one_of("class_weight", options.class_weight, get_args(ClassWeight))
    _one_of("precision", options.precision, PRECISIONS)
    for name, lowest in _LOWEST.items():
        value = getattr(options, name)
        if value is not None and not value >= lowest:
            raise UsageError(
                f"{value} is too small.", f"Expected at least {lowest}.", parameter=name
            )
    for name in ("cache_gb", "max_megapixels"):
        if getattr(options, name) == math.inf:  # JSON cannot store it
            raise UsageError("inf is not valid.", "Expected a finite number.", parameter=name)
    if options.seed > LARGEST_SEED:
        raise UsageError(
            f"{options.seed} is too large.", f"Expected at most {LARGEST_SEED}.", parameter="seed"
        )
    parse_shares(options.split, test_given=options.test is not None)
    _check_folders(options)
    _check_folds(options)
    if options.algorithm == "hyperband":
        _check_hyperband(options)
    elif (
        options.algorithm == "grid"
        and options.trials is None
        and size_of(options.space) == math.inf
    ):
        raise UsageError(
            "a grid over a range is infinite.",
            "Expected a number of trials, or a space of choices and fixed values only.",
            "set the number of trials, or use random search.",
            parameter="algorithm",
        )


def schedule_of(options: SearchOptions) -> list[Round]:
    """The rounds that a search runs, in their order."""
    if options.algorithm == "hyperband":
        return hyperband_schedule(
            options.max_epochs, factor=options.factor, iterations=options.iterations
        )
    size = size_of(options.space)
    wanted = options.trials if options.trials is not None else DEFAULT_TRIALS
    if options.algorithm == "grid" and options.trials is None:
        wanted = int(size)
    return flat_schedule(int(min(wanted, size)), options.max_epochs)


def seeds_of(options: SearchOptions) -> list[int]:
    """The seeds of each trial's repeats; the first is the study's, the others far from it."""
    return [(options.seed + 7919 * repeat) % LARGEST_SEED for repeat in range(options.repeats)]


def choose_class_weight(options: SearchOptions, imbalance: float) -> ClassWeight:
    """The class weights of a search.

    Args:
        options: Of the search.
        imbalance: The images of the largest class over those of the smallest.
    """
    return options.class_weight or ("balanced" if imbalance > BALANCED_ABOVE else "none")


def oracle_seed(options: SearchOptions) -> int:
    """Keras Tuner's seed: it takes 0 for no seed, and close seeds repeat configurations."""
    return 1000 * options.seed + 1


def _check_folders(options: SearchOptions) -> None:
    counts = Counter([*set(options.data), *given_folders(options)[len(options.data) :]])
    if repeated := [folder for folder, count in counts.items() if count > 1]:
        raise UsageError(
            f"{repeated[0]} is given twice.",
            "Expected each folder in only one of data, test, validate_on and external_test.",
            parameter="data",
        )


def _check_folds(options: SearchOptions) -> None:
    if options.folds == 1:
        raise UsageError(
            "1 fold has no other images to train on.",
            "Expected 0 for a single split, or at least 2.",
            parameter="folds",
        )
    if options.folds and options.validate_on:
        raise UsageError(
            "folds cannot be combined with a validation folder.",
            "Expected one of folds and validate_on.",
            parameter="folds",
        )


def _check_hyperband(options: SearchOptions) -> None:
    if options.trials is not None:
        raise UsageError(
            f"{options.trials} trials cannot be set for Hyperband.",
            "Expected None: the number of trials follows from max_epochs and factor.",
            "use random search, or leave the number of trials out.",
            parameter="trials",
        )
    # Keras Tuner never draws a configuration twice, and ends when 21 draws in a row fail.
    size = size_of(options.space)
    needed = sum(r.trials for r in schedule_of(options) if r.round == 0)
    if size < needed:
        raise UsageError(
            f"the space has only {size:g} configurations.",
            f"Expected at least {needed}, the number with which this Hyperband starts.",
            "use grid search, or a larger space.",
            parameter="space",
        )


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(
            f"{value!r} is unknown.", f"Expected one of {', '.join(known)}.", parameter=name
        )
