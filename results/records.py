"""The two records a study is made of: one trial, one epoch of it."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["completed", "failed"]

# The hyperparameters, in the order of every table.
SETTINGS = (
    "head_units",
    "dropout",
    "unfreeze_depth",
    "head_learning_rate",
    "fine_tune_learning_rate",
)
# What a model was retrained on, as metrics.json says it.
FRESH_VIEWS, STORED_VIEWS = "images, augmented anew every epoch", "stored views"


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One epoch: means over the images, losses in nats, accuracies and F1 in [0, 1]."""

    epoch: int  # from 1, counted through both phases
    phase: int  # 1: head on the frozen base; 2: fine-tuning
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    val_macro_f1: float


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One configuration tried at one epoch budget.

    `score` and `metrics` are those of `best_epoch`, the epoch with the best objective.
    A failed trial has a `message`, no score, and the curve up to where it failed.
    """

    trial: str  # Keras Tuner's identifier, e.g. "0007"
    status: Status
    settings: dict[str, float | int]  # no fine_tune_learning_rate at unfreeze depth 0
    epochs: int  # the rung: the epoch budget
    seconds: float
    score: float | None = None
    best_epoch: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    curve: list[EpochRecord] = field(default_factory=list)
    bracket: int | None = None  # Hyperband only
    round: int | None = None  # Hyperband only
    parent: str | None = None  # the trial this one was promoted from
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON types; a NaN or an infinity becomes null."""
        content = asdict(self)
        content["score"] = _finite(self.score)
        content["metrics"] = {name: _finite(value) for name, value in self.metrics.items()}
        content["curve"] = [
            {name: _finite(value) for name, value in epoch.items()} for epoch in content["curve"]
        ]
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "TrialRecord":
        """Reads what `to_json` wrote; null is NaN in the metrics and the curve, None elsewhere."""
        metrics = _null_as_nan(content["metrics"])
        curve = [EpochRecord(**_null_as_nan(epoch)) for epoch in content["curve"]]
        return cls(**{**content, "metrics": metrics, "curve": curve})


def _finite(value: float | None) -> float | None:
    # A diverged trial leaves a NaN in its curve, and JSON has none.
    return value if value is not None and math.isfinite(value) else None


def _null_as_nan(numbers: dict[str, Any]) -> dict[str, Any]:
    return {name: math.nan if value is None else value for name, value in numbers.items()}
