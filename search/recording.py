"""What training showed, as the results keep it."""

from collections.abc import Sequence
from dataclasses import replace

from concrete_study.models.recipe import Epoch, Objective, best_epoch
from concrete_study.results.records import EpochRecord, TrialRecord


def record_epoch(epoch: Epoch) -> EpochRecord:
    """An epoch as the results keep it."""
    return EpochRecord(**epoch._asdict())


def epoch_records(curve: Sequence[Epoch]) -> list[EpochRecord]:
    """A curve as the results keep it."""
    return [record_epoch(epoch) for epoch in curve]


def completed(asked: TrialRecord, curve: list[Epoch], objective: Objective) -> TrialRecord:
    """The record of a trial that has ended, with the score of its best epoch."""
    best = best_epoch(curve, objective)
    at_best = curve[best - 1]._asdict()
    metrics = {name: value for name, value in at_best.items() if name not in ("epoch", "phase")}
    return replace(
        asked,
        status="completed",
        score=metrics[objective],
        best_epoch=best,
        metrics=metrics,
        curve=epoch_records(curve),
    )
