"""Epochs and trials as the results store them."""

from collections.abc import Sequence

from msgspec.structs import replace

from concrete_study.models import recipe
from concrete_study.models.recipe import best_epoch
from concrete_study.results.records import Epoch, TrialRecord


def record_epoch(epoch: recipe.Epoch) -> Epoch:
    """An epoch as the results store it."""
    return Epoch(**epoch._asdict())


def epoch_records(curve: Sequence[recipe.Epoch]) -> list[Epoch]:
    """A learning curve as the results store it."""
    return [record_epoch(epoch) for epoch in curve]


def completed(requested: TrialRecord, curve: list[recipe.Epoch], objective: str) -> TrialRecord:
    """The record of a trial that has ended, with the score of its best epoch."""
    best = best_epoch(curve, objective)  # type: ignore[arg-type]
    records = epoch_records(curve)
    metrics = records[best - 1].metrics()
    return replace(
        requested,
        status="completed",
        score=metrics[objective],
        best_epoch=best,
        metrics=metrics,
        curve=records,
    )
