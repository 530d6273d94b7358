"""The search space: defaults, and a TOML file that narrows, widens or fixes any part of it.

`results.hyperparameters` has each hyperparameter's bounds and default. In the file, a list is a
choice, a table a range, a number is fixed:

    head_units = [0, 256]
    dropout = { min = 0.1, max = 0.5 }
    unfreeze_depth = 3
    head_learning_rate = { min = 1e-4, max = 1e-2, log = true }
    feature_layers = ["block5", "block4+5"]
"""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any

from concrete_study.datasets.errors import UsageError
from concrete_study.models.configuration import Architecture, Configuration
from concrete_study.results.hyperparameters import (
    Dimension,
    Hyperparameter,
    Number,
    Space,
    Value,
    Values,
    by_name,
    default_space,
)


def read_space(path: Path | None) -> Space:
    """Reads a space file over the defaults; without a file, the defaults.

    Raises:
        UsageError: If the file cannot be read, or any key or value is not valid; the message
            lists all faults.
    """
    if path is None:
        return default_space()
    return parse_space(read_toml(path, parameter="space"), str(path))


def read_toml(path: Path, *, parameter: str) -> dict[str, Any]:
    """Reads a TOML file.

    Raises:
        UsageError: If it cannot be read; `parameter` is the argument that named it.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        str(content)  # a ValueError for an integer of over 4,300 digits, as TOML's own errors
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} cannot be read.",
            f"Expected a TOML file; received: {error}.",
            parameter=parameter,
        ) from error
    return content


def parse_space(content: Mapping[str, Any], source: str = "the space") -> Space:
    """A space over the defaults, from values in the form of a space file.

    Raises:
        UsageError: If any key or value is not valid; the message lists all faults.
    """
    space, known = default_space(), by_name()
    faults = []
    for key, value in content.items():
        if key not in known:
            faults.append(f"{key}: unknown; expected one of {', '.join(known)}")
            continue
        try:
            space[key] = value if isinstance(value, Dimension) else _dimension(known[key], value)
        except ValueError as error:
            received = "" if "received" in str(error) else f"; received {value}"
            faults.append(f"{key}: {error}{received}")
    if faults:
        hint = "head_units = [0, 256], dropout = { min = 0.1, max = 0.5 } or unfreeze_depth = 3"
        raise UsageError(f"{source} is not valid.", "\n".join(faults), hint, parameter="space")
    return {name: space[name] for name in known if name in space}


def with_image_sizes(space: Space, sizes: Sequence[int]) -> Space:
    """A space with these image sizes, whatever it had.

    Raises:
        UsageError: If a size is not valid.
    """
    try:
        return space | {"image_size": _dimension(by_name()["image_size"], list(sizes))}
    except ValueError as error:
        raise UsageError(
            f"{','.join(map(str, sizes))} is not valid.",
            f"{str(error).capitalize()}, or several with commas between them.",
            parameter="image_size",
        ) from error


def configuration_of(values: Values) -> Configuration:
    """The network and recipe of hyperparameter values; those it does not have are left out."""
    known = {field.name for field in fields(Configuration)}
    used: dict[str, Any] = {name: value for name, value in values.items() if name in known}
    return Configuration(**used)


def image_sizes(space: Space) -> tuple[int, ...]:
    """The image sizes of a space, the smallest first."""
    return tuple(sorted(int(size) for size in space["image_size"].choices))


def architectures(space: Space) -> set[Architecture]:
    """The architectures of both phases of all configurations of a space."""
    known = by_name()
    choices = [
        space[name].choices if name in space else (known[name].reference,)
        for name in ("head_units", "unfreeze_depth", "feature_layers", "pooling", "feature_scaling")
    ]
    found: set[Architecture] = set()
    for units, depth, layers, pooling, scaling in product(*choices):
        configuration = Configuration(
            head_units=int(units),
            dropout=0.0,
            unfreeze_depth=int(depth),
            head_learning_rate=0.0,
            feature_layers=str(layers),
            feature_scaling=str(scaling),
            pooling=str(pooling),
        )
        found |= {configuration.architecture(phase) for phase in (0, int(depth))}
    return found


def size_of(space: Space) -> float:
    """How many different configurations there are; infinite with a range that is active."""
    known, size = by_name(), 1.0
    for name, dimension in space.items():
        if known[name].requires is not None:
            continue
        dependent = math.prod(_count(space[n]) for n in space if known[n].requires == name)
        active = [
            1.0 if isinstance(value, str) or value <= 0 else dependent
            for value in dimension.choices
        ]
        size *= sum(active) if active else math.inf
    return size


def _count(dimension: Dimension) -> float:
    return len(dimension.choices) or math.inf


def _dimension(hyperparameter: Hyperparameter, value: Any) -> Dimension:
    if isinstance(value, dict):
        return _range(hyperparameter, value)
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError("expected at least one value")
    choices = tuple(_value(hyperparameter, item) for item in values)
    if len(set(choices)) < len(choices):
        raise ValueError("expected different values")
    return Dimension(choices=choices)


def _range(hyperparameter: Hyperparameter, table: dict[str, Any]) -> Dimension:
    if hyperparameter.names:
        raise ValueError(f"expected a list of {', '.join(hyperparameter.names)}")
    if not {"min", "max"} <= table.keys() <= {"min", "max", "log"}:
        raise ValueError("expected a range { min = ..., max = ... } with an optional log")
    low, high = (_number(hyperparameter, table[end]) for end in ("min", "max"))
    log = table.get("log", hyperparameter.default.log)
    if not low < high:
        raise ValueError("expected min below max")
    if not isinstance(log, bool) or (log and low <= 0):
        raise ValueError("expected log = true only with min above 0")
    if hyperparameter.integer and log:
        raise ValueError("expected no log for whole numbers; list the values instead")
    if hyperparameter.integer:
        return Dimension(choices=tuple(range(int(low), int(high) + 1)))
    return Dimension(low=float(low), high=float(high), log=log)


def _value(hyperparameter: Hyperparameter, value: Any) -> Value:
    if not hyperparameter.names:
        return _number(hyperparameter, value)
    if value not in hyperparameter.names:
        raise ValueError(f"expected {' or '.join(hyperparameter.names)}; received {value!r}")
    return str(value)


def _number(hyperparameter: Hyperparameter, value: Any) -> Number:
    integer, lowest, highest = hyperparameter.integer, hyperparameter.lowest, hyperparameter.highest
    valid = isinstance(value, int) if integer else isinstance(value, int | float)
    if isinstance(value, bool) or not valid or not lowest <= value <= highest:
        kind = "a whole number" if integer else "a number"
        received = f"; received the text {value!r}" if isinstance(value, str) else ""
        raise ValueError(f"expected {kind} from {lowest:g} to {highest:g}{received}")
    return int(value) if integer else float(value)
