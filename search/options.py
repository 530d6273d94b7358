"""What a study was asked to do: every option, checked once, stored in `study.json`."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from concrete_study.datasets.errors import StudyStateError, UsageError
from concrete_study.datasets.splits import parse_shares
from concrete_study.models.backbone import SMALLEST_SIZE
from concrete_study.models.precision import PRECISIONS
from concrete_study.models.recipe import DEFAULT_BATCH_SIZE, Objective
from concrete_study.search.schedule import Round, flat_schedule, hyperband_schedule
from concrete_study.search.space import DEFAULT_SPACE, Dimension, Space, size_of

ALGORITHMS = ("hyperband", "random", "bayesian", "grid")
DEFAULT_TRIALS = 20
LARGEST_SEED = 1_000_000  # seeds derived from it stay within 32 bits


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Everything that decides a search's answer, and nothing that does not.

    Raises:
        UsageError: If an option is out of its range, or does not go with another.
    """

    data: tuple[str, ...] = ()  # absolute paths, studied as one; none is the built-in sample
    external_test: tuple[
        str, ...
    ] = ()  # other folders, on which only the retrained model is tested
    validate_on: str | None = None  # another folder, which decides between configurations
    algorithm: str = "hyperband"
    max_epochs: int = 10
    factor: int = 3
    iterations: int = 1
    trials: int | None = None  # of random, bayesian and grid; None is 20, or the whole grid
    objective: Objective = "val_loss"
    image_size: int = 224
    batch_size: int = DEFAULT_BATCH_SIZE
    views: int = 5
    cache_gb: float = 20.0
    precision: str = "auto"
    weights: str = "bundled"
    split: str = "70/15/15"
    groups: bool = True  # whether near-duplicates stay on one side of the split
    split_by: str | None = None  # `prefix`, or the absolute path of a CSV file
    keep_conflicts: bool = False  # whether one picture may have two labels
    search_images: int | None = None  # of train and validation, drawn; None is all of them
    seed: int = 1
    space: Space = field(default_factory=lambda: dict(DEFAULT_SPACE))

    def __post_init__(self) -> None:
        _one_of("--algorithm", self.algorithm, ALGORITHMS)
        _one_of("--objective", self.objective, get_args(Objective))
        _one_of("--precision", self.precision, PRECISIONS)
        least = {"max_epochs": 1, "factor": 2, "iterations": 1, "batch_size": 1, "views": 1}
        least |= {"image_size": SMALLEST_SIZE, "cache_gb": 0, "seed": 0}
        for name, bound in least.items():
            _at_least(name, getattr(self, name), bound)
        if self.trials is not None:
            _at_least("trials", self.trials, 1)
        if self.search_images is not None:
            _at_least("search_images", self.search_images, 4)
        if self.cache_gb == math.inf:  # it could not be stored as JSON
            raise UsageError("--cache-gb inf cannot be used.", "Expected a number of gigabytes.")
        if self.seed > LARGEST_SEED:
            raise UsageError(f"--seed {self.seed} is too large.", f"Expected up to {LARGEST_SEED}.")
        parse_shares(self.split)
        away = {*self.external_test, *filter(None, [self.validate_on])}
        if shared := away & set(self.data) or set(self.external_test) & {self.validate_on}:
            raise UsageError(
                f"{min(map(str, shared))} has two parts to play.",
                "Expected each folder once among --data, --hold-out and --validate-on.",
            )
        self._check_algorithm()

    def _check_algorithm(self) -> None:
        size = size_of(self.space)
        if self.algorithm != "hyperband":
            if self.algorithm == "grid" and self.trials is None and size == float("inf"):
                raise UsageError(
                    "a grid over a range has no end.",
                    "Expected --trials, or a --space of choices and fixed values only.",
                    "--algorithm random --trials 30",
                )
            return
        if self.trials is not None:
            raise UsageError(
                f"--trials {self.trials} does not go with Hyperband.",
                "Expected no --trials: --max-epochs and --factor decide how many there are.",
                "--algorithm random --trials N, or leave out --trials.",
            )
        # Keras Tuner never draws a configuration twice, and ends when 21 draws in a row fail.
        needed = sum(r.trials for r in self.schedule() if r.round == 0)
        if size < needed:
            raise UsageError(
                f"the space has only {size:g} configurations.",
                f"Expected at least {needed}, as many as this Hyperband starts with.",
                "--algorithm grid, or a wider --space.",
            )

    @property
    def oracle_seed(self) -> int:
        """Keras Tuner takes 0 for no seed, and near seeds repeat each other's draws."""
        return 1000 * self.seed + 1

    def schedule(self) -> list[Round]:
        """The rounds this search will run."""
        if self.algorithm == "hyperband":
            return hyperband_schedule(
                self.max_epochs, factor=self.factor, iterations=self.iterations
            )
        size = size_of(self.space)
        wanted = self.trials if self.trials is not None else DEFAULT_TRIALS
        if self.algorithm == "grid" and self.trials is None:
            wanted = int(size)
        return flat_schedule(int(min(wanted, size)), self.max_epochs)

    def to_json(self) -> dict[str, Any]:
        """The options as plain JSON types."""
        space = {name: d._asdict() | {"choices": list(d.choices)} for name, d in self.space.items()}
        return asdict(self) | {"space": space}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "SearchOptions":
        """Reads what `to_json` wrote.

        Raises:
            StudyStateError: If it is not what this version writes.
        """
        try:
            space = {
                name: Dimension(**{**d, "choices": tuple(d["choices"])})
                for name, d in content["space"].items()
            }
            folders = {name: tuple(content.get(name, ())) for name in ("data", "external_test")}
            return cls(**{**content, **folders, "space": space})
        except (AttributeError, KeyError, TypeError) as error:
            raise StudyStateError(
                "the study's options cannot be read.",
                f"Expected them as this version stores them; received: {error}.",
                "the version that study.json names, or a new study.",
            ) from error


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{option} {value} is unknown.", f"Expected one of {', '.join(known)}.")


def _at_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        option = f"--{name.replace('_', '-')}"
        raise UsageError(f"{option} {value} is too small.", f"Expected at least {least}.")
