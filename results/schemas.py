"""JSON Schemas of the stored records; `python -m concrete_study.results.schemas` writes them.

Writes `docs/schemas/<record>.json`.
"""

import sys
from pathlib import Path

import msgspec

from concrete_study.datasets.files import write_text
from concrete_study.results.adaptation_record import AdaptationRecord
from concrete_study.results.audit import DataCheckRecord
from concrete_study.results.evaluation_records import (
    EvaluationRecord,
    FilesRecord,
    RetrainingRecord,
    ScratchRecord,
)
from concrete_study.results.records import StoredRecord, StudyRecord, TrialRecord
from concrete_study.results.study_audit import AuditRecord

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "schemas"
SCHEMAS: dict[str, type[StoredRecord]] = {
    "study": StudyRecord,
    "trial": TrialRecord,
    "retraining": RetrainingRecord,
    "scratch": ScratchRecord,
    "evaluation": EvaluationRecord,
    "files": FilesRecord,
    "adaptation": AdaptationRecord,
    "data-check": DataCheckRecord,
    "audit": AuditRecord,
}


def schema(record: type[StoredRecord]) -> str:
    """The JSON Schema of a stored record, indented."""
    content = msgspec.json.encode(msgspec.json.schema(record))
    return msgspec.json.format(content, indent=2).decode() + "\n"


def write_schemas(folder: Path = FOLDER) -> None:
    """Writes one file per stored record."""
    for name, record in SCHEMAS.items():
        write_text(folder / f"{name}.json", schema(record))


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
