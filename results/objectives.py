"""The objectives of a search, declared here alone: names, directions and labels."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from concrete_study.datasets.errors import UsageError

Direction = Literal["min", "max"]


class Objective(NamedTuple):
    """A validation metric that a search can optimise."""

    name: str  # the field of `results.records.Epoch`
    direction: Direction  # whether lower or higher is better
    label: str  # as axes and sentences have it

    def cost(self, value: float) -> float:
        """A number that is lower for a better value."""
        return value if self.direction == "min" else -value

    def best(self, values: Sequence[float]) -> float:
        """The best of some values, at least one."""
        return min(values, key=self.cost)


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective("val_loss", "min", "validation loss"),
        Objective("val_accuracy", "max", "validation accuracy"),
        Objective("val_macro_f1", "max", "validation macro F1"),
        Objective("val_roc_auc", "max", "validation ROC AUC"),
        Objective("val_average_precision", "max", "validation average precision"),
        Objective("val_balanced_accuracy", "max", "validation balanced accuracy"),
        Objective("val_shifted_loss", "min", "validation loss under shifts"),
        Objective("val_shifted_roc_auc", "max", "validation ROC AUC under shifts"),
    )
}
DEFAULT_OBJECTIVE = "val_shifted_loss"


def find_objective(name: str) -> Objective:
    """The objective of a name.

    Raises:
        UsageError: If a search cannot optimise it.
    """
    if name not in OBJECTIVES:
        raise UsageError(
            f"{name!r} is unknown.",
            f"Expected one of {', '.join(OBJECTIVES)}.",
            parameter="objective",
        )
    return OBJECTIVES[name]
