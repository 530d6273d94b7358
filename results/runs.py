"""The studies of a place: their names, finding one, and the latest."""

import difflib
import re
from datetime import datetime
from pathlib import Path

from concrete_study.datasets.errors import StudyStateError, UsageError
from concrete_study.results.folder import StudyFolder

RUNS = Path("runs")  # where the commands keep all studies
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def check_name(name: str) -> str:
    """Gives back a name that can be a study's.

    Raises:
        UsageError: If it holds anything but letters, digits, `.`, `_` and `-`, starts with a
            dot or a dash, or is longer than 100 characters.
    """
    if _NAME.fullmatch(name):
        return name
    raise UsageError(
        f"{name!r} cannot be the name of a study.",
        "Expected up to 100 letters, digits, '.', '_' or '-', the first no dot or dash.",
        "a name such as first-search.",
    )


def list_studies(runs: Path) -> list[StudyFolder]:
    """Every folder in `runs` that has a study.json, even a damaged one, oldest first."""
    studies = [StudyFolder(path.parent) for path in runs.glob("*/study.json")]
    return sorted(studies, key=lambda study: (_created(study), study.name))


def open_study(runs: Path, name: str | None) -> StudyFolder:
    """Finds a study by name; without one, that which was created last.

    Raises:
        UsageError: If the name could not be a study's.
        StudyStateError: If there is no such study, or its study.json is damaged.
    """
    if name is None:
        return latest_study(runs)
    study = find_study(runs, name)
    study.manifest()
    return study


def find_study(runs: Path, name: str) -> StudyFolder:
    """A study by name, be it damaged.

    Raises:
        UsageError: If the name could not be a study's.
        StudyStateError: If there is no such study.
    """
    study = StudyFolder(runs / check_name(name))
    if not study.manifest_path.exists():
        existing = [other.name for other in list_studies(runs)]
        near = difflib.get_close_matches(name, existing, n=3)
        meant = f"Did you mean {' or '.join(near)}? " if near else ""
        raise StudyStateError(
            f"No study named {name} in {runs}.",
            f"{meant}Studies there: {', '.join(existing) or 'none'}.",
            "study list" if existing else "study search",
        )
    return study


def latest_study(runs: Path) -> StudyFolder:
    """The study that was created last, of those that can be read.

    Raises:
        StudyStateError: If there is none.
    """
    studies = [study for study in list_studies(runs) if not is_damaged(study)]
    if not studies:
        raise StudyStateError(
            f"No study in {runs.absolute()}.",
            "Expected at least one folder with a study.json.",
            "study search",
        )
    return studies[-1]


def is_damaged(study: StudyFolder) -> bool:
    """Whether its study.json cannot be read."""
    try:
        study.manifest()
    except StudyStateError:
        return True
    return False


def _created(study: StudyFolder) -> float:
    try:
        return datetime.fromisoformat(study.manifest()["created"]).timestamp()
    except (StudyStateError, TypeError, ValueError):
        return study.manifest_path.stat().st_mtime
