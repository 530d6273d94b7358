"""What the sections of a report are made from: one study, read once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from concrete_study.datasets.splits import SplitRow, read_split
from concrete_study.results.evaluation import read_predictions
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import TrialRecord
from concrete_study.results.stored import read_json
from concrete_study.results.trials import objective_direction


@dataclass(frozen=True)
class Facts:
    """A study's files; what it does not have yet is empty or None."""

    name: str
    state: str
    manifest: dict[str, Any]
    records: Sequence[TrialRecord]
    rows: Sequence[SplitRow]
    metrics: dict[str, Any] | None  # None until `study best`
    predictions: pd.DataFrame | None
    validation: pd.DataFrame | None
    summary: str  # Keras' table of the layers
    illustrations: Path | None  # from `study best --export`
    evaluations: Sequence[dict[str, Any]]  # other folders, from `study evaluate`
    scratch: dict[str, Any] | None  # the recipe from random weights, from `study best --scratch`

    @property
    def objective(self) -> str:
        """What the search judged trials by."""
        return str(self.manifest["options"].get("objective", "val_loss"))

    @property
    def lowest_is_best(self) -> bool:
        """Whether the objective is a loss."""
        return objective_direction(self.objective) == "min"

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the model's order."""
        return list(self.manifest.get("classes") or ())


def read_facts(study: StudyFolder) -> Facts:
    """Reads whatever a study has.

    Raises:
        StudyStateError: If one of its files is damaged; the message names it.
    """
    metrics = study.metrics()
    summary = study.best_path / "summary.txt"

    def predictions(name: str) -> pd.DataFrame | None:
        path = study.best_path / name
        return read_predictions(path) if metrics is not None and path.exists() else None

    return Facts(
        name=study.name,
        state=study.state(),
        manifest=study.manifest(),
        records=study.trials(),
        rows=read_split(study.split_path) if study.split_path.exists() else [],
        metrics=metrics,
        predictions=predictions(study.predictions_path.name),
        validation=predictions(study.validation_path.name),
        summary=summary.read_text(encoding="utf-8") if summary.exists() else "",
        illustrations=study.illustrations_path if study.illustrations_path.exists() else None,
        evaluations=study.evaluations(),
        scratch=read_json(study.scratch_path) if study.scratch_path.exists() else None,
    )


def folders(stored: Any) -> list[str]:
    """The folders of an option: studies of before there could be several have one as text."""
    return [stored] if isinstance(stored, str) else list(stored or ())
