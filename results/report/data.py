"""The data of a report: one study, read once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from concrete_study.datasets.files import file_sha256
from concrete_study.datasets.splits import SplitRow
from concrete_study.results.adaptation_record import AdaptationRecord
from concrete_study.results.evaluation import read_predictions
from concrete_study.results.evaluation_records import (
    EvaluationRecord,
    FilesRecord,
    RetrainingRecord,
    ScratchRecord,
)
from concrete_study.results.folder import StudyFolder
from concrete_study.results.model_folder import adaptations
from concrete_study.results.objectives import Objective, find_objective
from concrete_study.results.records import StudyRecord, TrialRecord
from concrete_study.results.stored import (
    FILES_FILE,
    damaged,
    read_record,
    require_described,
)
from concrete_study.results.trials import find_best, rank


@dataclass(frozen=True)
class ReportData:
    """A study's files; what it does not have yet is empty or None."""

    name: str
    state: str
    study: StudyRecord
    objective: Objective
    trials: Sequence[TrialRecord]
    ranked: Sequence[TrialRecord]  # those with a score, best first
    split: Sequence[SplitRow]
    retraining: RetrainingRecord | None
    scratch: ScratchRecord | None
    predictions: pd.DataFrame | None  # of the test images
    validation: pd.DataFrame | None  # predictions of the validation images
    model_summary: str  # Keras' table of the layers
    illustrations: Path | None
    evaluations: Sequence[EvaluationRecord]
    adaptations: Sequence[AdaptationRecord]  # of the present model

    @cached_property
    def rows(self) -> dict[str, SplitRow]:
        """The rows of the split by file."""
        return {row.file: row for row in self.split}

    @cached_property
    def best(self) -> TrialRecord | None:
        """The best trial by the rule of the search."""
        return find_best(self.trials, self.study.options)


def read_report_data(study: StudyFolder) -> ReportData:
    """Reads whatever a study has.

    Raises:
        StudyStateError: If one of its files is damaged; the message names it.
    """
    record, trials, retraining = study.manifest(), study.trials(), study.metrics()
    objective, summary = record.options.objective, study.best_path / "summary.txt"

    def predictions(path: Path) -> pd.DataFrame | None:
        expected = retraining is not None and (path.exists() or path.name in retraining.files)
        return read_predictions(path) if expected else None

    return ReportData(
        name=study.name,
        state=study.state(),
        study=record,
        objective=find_objective(objective),
        trials=trials,
        ranked=rank(trials, objective=objective),
        split=study.split() if study.has_split else [],
        retraining=retraining,
        scratch=study.scratch(),
        predictions=predictions(study.predictions_path),
        validation=predictions(study.validation_path),
        model_summary=_described_text(summary),
        illustrations=_illustrations(study.illustrations_path),
        evaluations=study.evaluations(),
        adaptations=adaptations(study) if retraining is not None else [],
    )


def _described_text(path: Path) -> str:
    """The text of a file, which the record next to it describes; empty without both."""
    try:
        require_described(path)
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, ValueError) as error:
        raise damaged(path, str(error), "a text") from error


def _illustrations(folder: Path) -> Path | None:
    """The folder, if there is one; its files are the ones that were written to it."""
    if not folder.exists():
        return None
    record = folder / FILES_FILE
    for name, sha256 in (read_record(record, FilesRecord).files if record.exists() else {}).items():
        path = folder / name
        if not path.is_file() or file_sha256(path) != sha256:
            raise damaged(path, "other content", f"SHA-256 {sha256}")
    return folder
