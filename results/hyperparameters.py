"""The hyperparameters, declared here alone: bounds, defaults, condition, output format.

A new one needs an entry in `HYPERPARAMETERS` and the code that uses its value; the space file,
the search, the tables, the report and `study.json` follow.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import msgspec

Number: TypeAlias = int | float
Value: TypeAlias = Number | str
Values: TypeAlias = Mapping[str, Value]
"""One configuration: hyperparameter values by name, active ones only."""


class Dimension(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The values of one hyperparameter: a choice (one value: fixed), or a range.

    Attributes:
        choices: The values to choose from; empty for a range.
        low: Lower end of a range, included.
        high: Upper end of a range, included.
        log: Whether the range is sampled on a logarithmic scale.
    """

    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def __str__(self) -> str:
        """As a space file has it, e.g. `[0, 64]` or `{ min = 0.0, max = 0.6, log = false }`."""
        if self.choices:
            return str(list(self.choices)).replace("'", '"')
        return f"{{ min = {self.low}, max = {self.high}, log = {str(self.log).lower()} }}"


Space: TypeAlias = dict[str, Dimension]


class Hyperparameter(NamedTuple):
    """One hyperparameter of the search space.

    Attributes:
        name: As in space files, records and tables.
        short: A shorter name for narrow tables and one-line descriptions.
        default: The values that a search tries.
        reference: Its value in the reference recipe.
        format: How a value is printed, a format specification.
        lowest: The lowest number that may be searched.
        highest: The highest number that may be searched.
        names: The values that may be searched if they are no numbers, from few to many features
            or from weak to strong.
        integer: Whether only whole numbers are values.
        requires: The hyperparameter that must be above 0 for this one to be active.
        optional: Whether only a space file that names it adds it to a search.
    """

    name: str
    short: str
    default: Dimension
    reference: Value
    format: str = ""
    lowest: Number = 0
    highest: Number = 0
    names: tuple[str, ...] = ()
    integer: bool = False
    requires: str | None = None
    optional: bool = False

    @property
    def label(self) -> str:
        """The name as words, for headings and axes."""
        return self.name.replace("_", " ").replace("fine tune", "fine-tuning")

    def text(self, value: Value) -> str:
        """A value as it is printed."""
        return str(value) if self.names else format(value, self.format).replace("e-0", "e-")

    def is_active(self, values: Values) -> bool:
        """Whether it is active in a configuration of these values."""
        return self.requires is None or float(values.get(self.requires, 0)) > 0


HYPERPARAMETERS: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        name="head_units",
        short="head units",
        integer=True,
        lowest=0,
        highest=8192,
        default=Dimension(choices=(0, 64, 128, 256, 512)),
        reference=0,
        format="d",
    ),
    Hyperparameter(
        name="dropout",
        short="dropout",
        lowest=0.0,
        highest=0.95,
        default=Dimension(low=0.0, high=0.6),
        reference=0.3,
        format=".2f",
    ),
    Hyperparameter(
        name="unfreeze_depth",
        short="unfreeze depth",
        integer=True,
        lowest=0,
        highest=13,
        default=Dimension(choices=(0, 1, 2, 3)),
        reference=3,
        format="d",
    ),
    Hyperparameter(
        name="head_learning_rate",
        short="head LR",
        lowest=1e-12,
        highest=1.0,
        default=Dimension(low=1e-5, high=1e-2, log=True),
        reference=5e-5,
        format=".1e",
    ),
    Hyperparameter(
        name="fine_tune_learning_rate",
        short="FT LR",
        lowest=1e-12,
        highest=1.0,
        default=Dimension(low=1e-6, high=1e-4, log=True),
        reference=1e-5,
        format=".1e",
        requires="unfreeze_depth",
    ),
    Hyperparameter(
        name="image_size",
        short="image size",
        integer=True,
        lowest=32,
        highest=1_000_000,
        default=Dimension(choices=(112,)),
        reference=224,
        format="d",
    ),
    Hyperparameter(
        name="feature_layers",
        short="features",
        names=("block5", "block4+5", "block3+4+5"),
        default=Dimension(choices=("block5", "block4+5")),
        reference="block5",
    ),
    Hyperparameter(
        name="feature_scaling",
        short="scaling",
        names=("none", "square-root", "standardised"),
        default=Dimension(choices=("square-root",)),
        reference="none",
    ),
    Hyperparameter(
        name="pooling",
        short="pooling",
        names=("average", "max"),
        default=Dimension(choices=("average",)),
        reference="average",
        optional=True,
    ),
    Hyperparameter(
        name="weight_decay",
        short="weight decay",
        lowest=0.0,
        highest=1000.0,
        default=Dimension(choices=(0.0,)),
        reference=0.0,
        format=".1e",
        optional=True,
    ),
    Hyperparameter(
        name="label_smoothing",
        short="label smoothing",
        lowest=0.0,
        highest=0.5,
        default=Dimension(choices=(0.0,)),
        reference=0.0,
        format=".2f",
        optional=True,
    ),
)


def by_name() -> dict[str, Hyperparameter]:
    """The hyperparameters by name, in the order of every table."""
    return {hyperparameter.name: hyperparameter for hyperparameter in HYPERPARAMETERS}


def check_types(values: Values) -> None:
    """Raises ValueError if a value has another type than its hyperparameter.

    A range is not checked: other versions may have others.
    """
    known = by_name()
    for name, value in values.items():
        if (hyperparameter := known.get(name)) is None:
            continue
        expected = (
            str if hyperparameter.names else (int if hyperparameter.integer else (int, float))
        )
        if not isinstance(value, expected) or (isinstance(value, int) and abs(value) >= 2**31):
            raise ValueError(f"{name} cannot be {value!r}")


def default_space() -> Space:
    """The default search space."""
    return {h.name: h.default for h in HYPERPARAMETERS if not h.optional}


def reference_space() -> Space:
    """The reference recipe, a space of one configuration."""
    return {h.name: Dimension(choices=(h.reference,)) for h in HYPERPARAMETERS if not h.optional}


def describe(values: Values) -> str:
    """A configuration on one line, e.g. `head units 128, dropout 0.21, head LR 2.0e-3`.

    Values that a default search fixes are left out.
    """
    known = by_name()
    fixed = {h.name: h.default.choices[0] for h in known.values() if len(h.default.choices) == 1}
    return ", ".join(
        f"{known[name].short} {known[name].text(value)}" if name in known else f"{name} {value}"
        for name, value in values.items()
        if fixed.get(name) != value
    )
