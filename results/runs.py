"""The studies in `runs/`: valid names, finding one, the latest, and which names are free."""

import difflib
import itertools
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from concrete_study.datasets.errors import (
    StudyExistsError,
    StudyStateError,
    UnknownStudyError,
    UsageError,
)
from concrete_study.results.folder import StudyFolder
from concrete_study.results.trials import ended_by_failures

RUNS = Path("runs")  # where the commands keep all studies
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def check_name(name: str) -> str:
    """Returns a name if a study may have it.

    Raises:
        UsageError: If it has other characters than letters, digits, `.`, `_` and `-`, starts
            with a dot or a dash, or is longer than 100 characters.
    """
    if _NAME.fullmatch(name):
        return name
    raise UsageError(
        f"{name!r} is not a valid study name.",
        "Expected up to 100 letters, digits, '.', '_' or '-', not starting with a dot or a dash.",
        "a name such as first-search.",
    )


def list_studies(runs: Path) -> list[StudyFolder]:
    """Every folder in `runs` that has a study.json, even a damaged one, oldest first."""
    studies = [StudyFolder(path.parent) for path in runs.glob("*/study.json")]
    return sorted(studies, key=lambda study: (_created(study), study.name))


def lost_studies(runs: Path) -> list[StudyFolder]:
    """Every folder in `runs` that has files of a study, but no study.json; by name."""
    studies = [StudyFolder(path) for path in sorted(runs.glob("[!.]*")) if path.is_dir()]
    return [s for s in studies if not s.manifest_path.exists() and s.leftovers()]


def open_study(runs: Path, name: str | None) -> StudyFolder:
    """Finds a study by name; without a name, the latest one.

    Raises:
        UsageError: If the name is not valid.
        StudyStateError: If there is no such study, or its study.json is damaged.
    """
    if name is None:
        return latest_study(runs)
    study = find_study(runs, name)
    study.manifest()
    return study


def open_studies(runs: Path, names: Sequence[str]) -> list[StudyFolder]:
    """Finds studies by name, each once; without names, all that can be read.

    Raises:
        UsageError: If a name is not valid.
        StudyStateError: If there is no such study, or its study.json is damaged.
    """
    if not names:
        latest_study(runs)  # raises if there is none
        return [study for study in list_studies(runs) if not is_damaged(study)]
    return [open_study(runs, name) for name in dict.fromkeys(names)]


def find_study(runs: Path, name: str) -> StudyFolder:
    """Finds a study by name, even a damaged one.

    Raises:
        UsageError: If the name is not valid.
        UnknownStudyError: If there is no such study.
    """
    study = StudyFolder(runs / check_name(name))
    if not study.manifest_path.exists():
        existing = [other.name for other in list_studies(runs)]
        near = difflib.get_close_matches(name, existing, n=3)
        meant = f"Did you mean {' or '.join(near)}? " if near else ""
        raise UnknownStudyError(
            f"No study named {name} in {runs}.",
            f"{meant}Available studies: {', '.join(existing) or 'none'}.",
            "" if existing else "run a search first.",
            study=name,
        )
    return study


def latest_study(runs: Path) -> StudyFolder:
    """The study that was created last, of those that can be read.

    Raises:
        UnknownStudyError: If there is none.
    """
    studies = [study for study in list_studies(runs) if not is_damaged(study)]
    if not studies:
        raise UnknownStudyError(
            f"No study in {runs.absolute()}.",
            "Expected at least one folder with a study.json.",
            "run a search first.",
        )
    return studies[-1]


def require_free(study: StudyFolder, *, resume: bool, overwrite: bool) -> None:
    """Checks that a study may be started, resumed or overwritten.

    Args:
        study: Its folder.
        resume: Whether an existing study is continued.
        overwrite: Whether an existing study is replaced.

    Raises:
        StudyExistsError: If it exists, and is neither to be resumed nor overwritten.
        UnknownStudyError: If it is to be resumed and does not exist.
        StudyStateError: If the folder holds other files.
    """
    exists = study.manifest_path.exists()
    if not exists and (found := study.leftovers()):
        raise StudyStateError(
            f"{study.path} is not a study.",
            f"Expected no such folder, or one with a study.json; found {', '.join(found)}.",
            "move it away, or choose another name.",
            study=study.name,
        )
    if exists and not (resume or overwrite):
        raise StudyExistsError(
            f"Study {study.name} already exists.",
            f"Expected a new name; found {study.path}.",
            study=study.name,
        )
    if resume and not exists:
        raise UnknownStudyError(
            f"No study {study.name} to resume.",
            f"Expected {study.manifest_path}; found none.",
            study=study.name,
        )


@contextmanager
def claim_study(runs: Path, stem: str) -> Iterator[StudyFolder]:
    """Locks the first free of `stem-1`, `stem-2`, ... while the block runs.

    The lock decides between two processes that find the same number free at once. A folder
    without a study is removed at the end.
    """
    for number in itertools.count(1):
        study = StudyFolder(runs / f"{stem}-{number}")
        if study.is_taken():
            continue
        with ExitStack() as stack:
            try:
                stack.enter_context(study.lock())
            except StudyStateError:
                continue  # another process was faster
            if study.manifest_path.exists() or study.leftovers():
                continue
            try:
                yield _ClaimedFolder(study.path)
            finally:
                remove_unless_started(study)
            return


def remove_unless_started(study: StudyFolder) -> None:
    """Removes a folder that has no study.json and no other files, and an empty parent."""
    if not study.manifest_path.exists() and not study.leftovers():
        shutil.rmtree(study.path, ignore_errors=True)
        with suppress(OSError):  # not empty: other studies are there
            study.path.parent.rmdir()


class _ClaimedFolder(StudyFolder):
    """The folder of a study that this process has locked already."""

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Does nothing: `claim_study` has the lock."""
        yield


def has_diverged(study: StudyFolder) -> bool:
    """Whether a search failed by its trials, so that resuming it would only repeat them."""
    return study.state() == "failed" and ended_by_failures(study.trials())


def is_damaged(study: StudyFolder) -> bool:
    """Whether its study.json cannot be read."""
    try:
        study.manifest()
    except StudyStateError:
        return True
    return False


def _created(study: StudyFolder) -> float:
    try:
        return datetime.fromisoformat(study.manifest().created).timestamp()
    except (StudyStateError, ValueError):
        return study.manifest_path.stat().st_mtime
