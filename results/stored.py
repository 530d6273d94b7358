"""Stored JSON read back; a file that is missing or damaged is named."""

import json
from pathlib import Path
from typing import Any

from datasets.errors import StudyStateError
from results.records import TrialRecord


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        StudyStateError: If the file is missing or holds anything else; the message names it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, str(error)) from error
    if not isinstance(content, dict):
        raise damaged(path, f"it holds a {type(content).__name__}")
    return content


def read_trial(path: Path) -> TrialRecord:
    """The trial in a file.

    Raises:
        StudyStateError: If the file is missing or damaged; the message names it.
    """
    content = read_json(path)
    try:
        return TrialRecord.from_json(content)
    except (AttributeError, KeyError, TypeError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def damaged(path: Path, reason: str, expected: str = "a JSON object") -> StudyStateError:
    """The error that says which file is damaged, and how."""
    return StudyStateError(
        f"{path} is damaged.",
        f"Expected {expected} as this project writes it; {reason}.",
        "restore the file from a copy, or move the study's folder out of the way.",
    )
