"""Options of a search that are given by name: in a `study.toml`, as arguments, as typed text."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from concrete_study.datasets.errors import UsageError
from concrete_study.datasets.labels import parse_class_map
from concrete_study.models.configuration import NAMED_WEIGHTS
from concrete_study.results.hyperparameters import Space
from concrete_study.results.options import SearchConfig, SearchOptions
from concrete_study.results.stored import received_and_expected
from concrete_study.search.parsing import parse_budget, parse_sizes
from concrete_study.search.space import parse_space, read_space, read_toml, with_image_sizes

TYPES = {field.name: field.type for field in msgspec.structs.fields(SearchConfig)}


class GivenOptions(NamedTuple):
    """Options with their types; `names` are those that were given, the others are defaults."""

    config: SearchConfig = SearchConfig()
    names: frozenset[str] = frozenset()

    def over(self, other: "GivenOptions") -> "GivenOptions":
        """Both together; where both give an option, this one counts."""
        own = {name: getattr(self.config, name) for name in self.names}
        return GivenOptions(replace(other.config, **own), self.names | other.names)

    def options(self) -> SearchOptions:
        """The options of the search, with the images that are studied without `data`.

        Raises:
            UsageError: If an image size is not valid.
        """
        from concrete_study.datasets.loading import find_data  # imports TensorFlow

        values = {name: getattr(self.config, name) for name in SearchOptions.__struct_fields__}
        if self.config.image_size is not None:
            values["space"] = with_image_sizes(self.config.space, self.config.image_size)
        if "data" not in self.names:
            values["data"] = tuple(map(str, find_data(())))
        return SearchOptions(**values)


def given_options(values: Mapping[str, Any], base: Path = Path()) -> GivenOptions:
    """Checks the names and types of options; `search.options.check` checks their ranges.

    Args:
        values: Options by name, of `SearchConfig`; those that are None are not given. Paths may be
            strings or `Path`s, and one folder need not be in a list; `space` is a file or a table
            of values in the form of one; `image_size` a number, several, or text such as
            `112,224`; `time_budget` seconds, or text such as `1h30m`.
        base: The folder that relative paths are relative to.

    Raises:
        UsageError: If a name is unknown, or a value has a wrong type; the message lists all faults.
    """
    faults, given = _convert({n: v for n, v in values.items() if v is not None}, base)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise UsageError(f"{len(faults)} options are not valid.", _lines(faults))
    return given


def read_config(path: Path) -> GivenOptions:
    """Reads a `study.toml`; relative paths in it are relative to its folder.

    Raises:
        UsageError: If the file cannot be read, a key is unknown, or a value is not valid; the
            message lists all faults.
    """
    faults, given = _convert(read_toml(path, parameter="config"), path.parent)
    if faults:
        raise UsageError(f"{path} is not valid.", _lines(faults), parameter="config")
    return given


def changed_options(given: GivenOptions, stored: SearchOptions) -> list[tuple[str, str]]:
    """The given options that are not those of a stored study: name, and `: was A, now B`."""
    options, changed = given.options(), []
    for name in SearchOptions.__struct_fields__:
        was, now = getattr(stored, name), getattr(options, name)
        if name == "space":
            changed += [
                ("space", f", {dimension}: was {was.get(dimension)}, now {values}")
                for dimension, values in now.items()
                if ("image_size" if dimension == "image_size" else "space") in given.names
                and was.get(dimension) != values
            ]
        elif name in given.names and was != now:
            changed.append((name, f": was {was}, now {now}"))
    return changed


def _convert(values: Mapping[str, Any], base: Path) -> tuple[list[UsageError], GivenOptions]:
    faults, converted = [], {}
    for name, value in values.items():
        try:
            if name not in TYPES:
                known = ", ".join(TYPES)
                raise UsageError("unknown option.", f"Expected one of {known}.", parameter=name)
            converted[name] = _typed(name, value, base)
        except UsageError as error:
            faults.append(error)
        except msgspec.ValidationError as error:
            received, expected = received_and_expected(str(error))
            detail = f"Expected {expected}; received {received}."
            faults.append(UsageError(f"{value!r} is not valid.", detail, parameter=name))
        except (ValueError, OverflowError) as error:  # of a path; of an integer as a float
            faults.append(UsageError(f"{value!r} is not valid.", f"{error}.", parameter=name))
    return faults, GivenOptions(SearchConfig(**converted), frozenset(converted))


def _typed(name: str, value: Any, base: Path) -> Any:
    read = _READERS.get(name)
    found = value if read is None else read(value, base)
    return found if name == "space" else msgspec.convert(found, TYPES[name])


def _path(value: Any, base: Path) -> Any:
    return str((base / value).resolve()) if isinstance(value, str | os.PathLike) else value


def _paths(value: Any, base: Path) -> Any:
    if isinstance(value, list | tuple):
        return [_path(item, base) for item in value]
    return [_path(value, base)] if isinstance(value, str | os.PathLike) else value


def _path_unless(*names: str) -> Callable[[Any, Path], Any]:
    return lambda value, base: value if value in names else _path(value, base)


def _space(value: Any, base: Path) -> Space:
    if isinstance(value, str | os.PathLike):
        return read_space(base / value)
    if isinstance(value, Mapping):
        return parse_space(value)
    raise msgspec.ValidationError(f"Expected `a file or a table`, got `{type(value).__name__}`")


def _sizes(value: Any, base: Path) -> Any:
    return parse_sizes(value) if isinstance(value, str) else [value] if _is_int(value) else value


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_READERS: dict[str, Callable[[Any, Path], Any]] = {
    "data": _paths,
    "external_test": _paths,
    "test": _path,
    "validate_on": _path,
    "labels": _path,
    "weights": _path_unless(*NAMED_WEIGHTS),
    "split_by": _path_unless("prefix"),
    "class_map": lambda value, base: parse_class_map(value) if _is_texts(value) else value,
    "space": _space,
    "image_size": _sizes,
    "time_budget": lambda value, base: parse_budget(value) if isinstance(value, str) else value,
}


def _lines(faults: list[UsageError]) -> str:
    """Each fault on lines of its own."""
    return "\n".join(
        "\n".join(line for line in (f"{f.parameter}: {f.problem}", f.expected) if line)
        for f in faults
    )
