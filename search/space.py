"""The search space, in one place; a TOML file narrows, widens or fixes any part of it.

    | hyperparameter          | default           | may be           | active when        |
    |-------------------------|-------------------|------------------|--------------------|
    | head_units              | 0 64 128 256 512  | 0 to 8192        | always             |
    | dropout                 | 0 to 0.6          | 0 to 0.95        | always             |
    | unfreeze_depth          | 0 1 2 3           | 0 to 13          | always             |
    | head_learning_rate      | 1e-5 to 1e-2, log | above 0, up to 1 | always             |
    | fine_tune_learning_rate | 1e-6 to 1e-4, log | above 0, up to 1 | unfreeze_depth > 0 |

In the file, a list is a choice, a table a range, a number is fixed:

    head_units = [0, 256]
    dropout = { min = 0.1, max = 0.5 }
    unfreeze_depth = 3
    head_learning_rate = { min = 1e-4, max = 1e-2, log = true }
"""

import math
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import keras_tuner

from concrete_study.datasets.errors import UsageError
from concrete_study.models.configuration import Configuration
from concrete_study.results.formats import toml_value

Number = int | float
UNFREEZE_DEPTH, FINE_TUNE_LEARNING_RATE = "unfreeze_depth", "fine_tune_learning_rate"


class Bounds(NamedTuple):
    """What values a hyperparameter may have at all."""

    whole: bool
    lowest: Number
    highest: Number
    log: bool = False


BOUNDS = {
    "head_units": Bounds(True, 0, 8192),
    "dropout": Bounds(False, 0.0, 0.95),
    "unfreeze_depth": Bounds(True, 0, 13),
    "head_learning_rate": Bounds(False, 1e-12, 1.0, log=True),
    "fine_tune_learning_rate": Bounds(False, 1e-12, 1.0, log=True),
}


class Dimension(NamedTuple):
    """One hyperparameter's values: a choice (one value: fixed), or a range."""

    choices: tuple[Number, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def __str__(self) -> str:
        """As a space file has it, e.g. `[0, 64]` or `{ min = 0.0, max = 0.6, log = false }`."""
        return toml_value(self._asdict())


Space = dict[str, Dimension]

DEFAULT_SPACE: Space = {
    "head_units": Dimension((0, 64, 128, 256, 512)),
    "dropout": Dimension(low=0.0, high=0.6),
    "unfreeze_depth": Dimension((0, 1, 2, 3)),
    "head_learning_rate": Dimension(low=1e-5, high=1e-2, log=True),
    "fine_tune_learning_rate": Dimension(low=1e-6, high=1e-4, log=True),
}

# The seed's one recipe: no dense layer, Adam 5e-5, then block 5 unfrozen at RMSprop 1e-5.
BASELINE_SPACE: Space = {
    "head_units": Dimension((0,)),
    "dropout": Dimension((0.3,)),
    "unfreeze_depth": Dimension((3,)),
    "head_learning_rate": Dimension((5e-5,)),
    "fine_tune_learning_rate": Dimension((1e-5,)),
}


def read_space(path: Path | None) -> Space:
    """Reads a space file over the defaults.

    Raises:
        UsageError: If the file cannot be read or any key or value cannot be used; all
            faults are named at once.
    """
    if path is None:
        return dict(DEFAULT_SPACE)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"--space {path} cannot be read.", f"Expected a TOML file; received: {error}."
        ) from error
    space = dict(DEFAULT_SPACE)
    faults = []
    for key, value in content.items():
        if key not in BOUNDS:
            faults.append(f"{key}: unknown; expected one of {', '.join(BOUNDS)}")
            continue
        try:
            space[key] = _dimension(BOUNDS[key], value)
        except ValueError as error:
            faults.append(f"{key}: {error}; received {value}")
    if faults:
        hint = "head_units = [0, 256], dropout = { min = 0.1, max = 0.5 } or unfreeze_depth = 3"
        raise UsageError(f"--space {path} cannot be used.", "\n".join(faults), hint)
    return space


def _dimension(bounds: Bounds, value: Any) -> Dimension:
    if isinstance(value, dict):
        return _range(bounds, value)
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError("expected at least one value")
    numbers = tuple(_number(bounds, item) for item in values)
    if len(set(numbers)) < len(numbers):
        raise ValueError("expected different values")
    return Dimension(numbers)


def _range(bounds: Bounds, table: dict[str, Any]) -> Dimension:
    if not {"min", "max"} <= table.keys() <= {"min", "max", "log"}:
        raise ValueError("expected a range { min = ..., max = ... } with an optional log")
    low, high = _number(bounds, table["min"]), _number(bounds, table["max"])
    log = table.get("log", bounds.log)
    if not low < high:
        raise ValueError("expected min below max")
    if not isinstance(log, bool) or (log and low <= 0):
        raise ValueError("expected log = true only with min above 0")
    if bounds.whole and log:
        raise ValueError("expected no log: whole numbers are a choice, list those to be tried")
    if bounds.whole:
        return Dimension(tuple(range(int(low), int(high) + 1)))
    return Dimension(low=float(low), high=float(high), log=log)


def _number(bounds: Bounds, value: Any) -> Number:
    kind = "a whole number" if bounds.whole else "a number"
    fits = isinstance(value, int) if bounds.whole else isinstance(value, int | float)
    if isinstance(value, bool) or not fits or not bounds.lowest <= value <= bounds.highest:
        raise ValueError(f"expected {kind} from {bounds.lowest:g} to {bounds.highest:g}")
    return int(value) if bounds.whole else float(value)


def declare(space: Space) -> keras_tuner.HyperParameters:
    """Tells Keras Tuner the space; the fine-tune rate only where something is unfrozen."""
    hp = keras_tuner.HyperParameters()
    for name, dimension in space.items():
        if name != FINE_TUNE_LEARNING_RATE:
            _declare(hp, name, dimension)
    depths = space[UNFREEZE_DEPTH].choices
    opened = [depth for depth in depths if depth > 0]
    if len(opened) == len(depths):
        _declare(hp, FINE_TUNE_LEARNING_RATE, space[FINE_TUNE_LEARNING_RATE])
    elif opened:
        with hp.conditional_scope(UNFREEZE_DEPTH, opened):
            _declare(hp, FINE_TUNE_LEARNING_RATE, space[FINE_TUNE_LEARNING_RATE])
    return hp


def _declare(hp: keras_tuner.HyperParameters, name: str, dimension: Dimension) -> None:
    if len(dimension.choices) == 1:
        hp.Fixed(name, dimension.choices[0])
    elif dimension.choices:
        hp.Choice(name, list(dimension.choices), ordered=True)
    else:
        sampling = "log" if dimension.log else "linear"
        hp.Float(name, dimension.low, dimension.high, sampling=sampling)


def hyperparameters_of(space: Space, values: dict[str, Any]) -> dict[str, Number]:
    """A trial's hyperparameters without Keras Tuner's own, in the order of the space."""
    return {
        name: values[name]
        for name in space
        if name in values and (name != FINE_TUNE_LEARNING_RATE or values[UNFREEZE_DEPTH] > 0)
    }


def configuration_of(hyperparameters: dict[str, Number]) -> Configuration:
    """The configuration that `hyperparameters_of` names."""
    return Configuration(**hyperparameters)  # type: ignore[arg-type]


def size_of(space: Space) -> float:
    """How many different configurations there are; infinite with a range that matters."""
    if any(not d.choices for name, d in space.items() if name != FINE_TUNE_LEARNING_RATE):
        return math.inf
    always = math.prod(
        len(space[n].choices) for n in space if n not in (UNFREEZE_DEPTH, FINE_TUNE_LEARNING_RATE)
    )
    depths = space[UNFREEZE_DEPTH].choices
    rates = len(space[FINE_TUNE_LEARNING_RATE].choices) or math.inf
    opened = sum(depth > 0 for depth in depths)
    return always * (len(depths) - opened + (opened * rates if opened else 0))
