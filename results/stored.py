"""Stored records read and written; a file that is missing or damaged is named."""

import re
from pathlib import Path
from typing import TypeVar

import msgspec

from concrete_study.datasets.errors import StudyStateError
from concrete_study.datasets.files import write_text
from concrete_study.results.records import SCHEMA_VERSION, StoredRecord

R = TypeVar("R", bound=StoredRecord)


class _Version(msgspec.Struct):
    schema_version: int


def read_record(path: Path, kind: type[R]) -> R:
    """The record in a file.

    Raises:
        StudyStateError: If the file is missing, damaged or of another schema version; the
            message names the file, the key, what was expected and what was received.
    """
    try:
        content = path.read_bytes()
        version = msgspec.json.decode(content, type=_Version).schema_version
        if version != SCHEMA_VERSION:
            raise damaged(path, f"schema_version {version}", f"schema_version {SCHEMA_VERSION}")
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise damaged(path, *_received_and_expected(str(error))) from error
    except (OSError, msgspec.DecodeError) as error:
        raise damaged(path, str(error), "a JSON object") from error


def write_record(path: Path, record: StoredRecord) -> None:
    """Writes a record atomically, as indented JSON.

    Raises:
        ValueError: If a number is NaN or infinite where the record has no null.
    """
    content = msgspec.json.encode(record)
    msgspec.json.decode(content, type=type(record))  # NaN is written as null, which JSON has
    write_text(path, msgspec.json.format(content, indent=2).decode() + "\n")


def damaged(path: Path, received: str, expected: str) -> StudyStateError:
    """The error that names a damaged file, what was expected and what was received."""
    return StudyStateError(
        f"{path} is damaged.",
        f"Expected {expected}; received {received}.",
        "restore the file from a copy, or move the study's folder away.",
    )


def _received_and_expected(message: str) -> tuple[str, str]:
    """Splits msgspec's "Expected `int`, got `str` - at `$.seed`" into what the user reads."""
    detail, _, key = message.partition(" - at ")
    where = f" at {key.strip('`').removeprefix('$.')}" if key else ""
    if found := re.fullmatch(r"Expected (.*), got (.*)", detail):
        return found[2], f"{found[1]}{where}"
    return f"{detail[0].lower()}{detail[1:]}{where}", "the record as this version stores it"
