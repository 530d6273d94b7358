"""What may be begun, gone on with or replaced: a study, a folder of pages."""

from collections.abc import Collection
from pathlib import Path

from concrete_study.datasets.errors import StudyStateError, UsageError
from concrete_study.results.folder import StudyFolder


def require_free(study: StudyFolder, *, resume: bool, overwrite: bool) -> None:
    """Refuses to begin a study that exists, and to go on with one that does not.

    Args:
        study: The folder asked for.
        resume: Whether to go on with it.
        overwrite: Whether to replace it.

    Raises:
        StudyStateError: If the study exists and neither was asked for, if it does not exist
            and is to be resumed, or if the folder holds something else.
    """
    exists = study.manifest_path.exists()
    if not exists and (found := study.leftovers()):
        raise StudyStateError(
            f"{study.path} is no study.",
            f"Expected no such folder, or one with a study.json; found {', '.join(found)}.",
            "move it away, or take another name.",
        )
    if exists and not (resume or overwrite):
        raise StudyStateError(
            f"study {study.name} exists.",
            f"Expected a new name; found {study.path}.",
            "--resume to go on with it, --overwrite to replace it, or another --name.",
        )
    if resume and not exists:
        raise StudyStateError(
            f"no study {study.name} to resume.",
            f"Expected {study.manifest_path}; found none.",
            "study list shows the studies.",
        )


def ensure_writable(folder: Path, names: Collection[str]) -> None:
    """Makes sure that a folder holds nothing but what a command has written there before.

    Args:
        folder: Where it is going to write.
        names: What it writes.

    Raises:
        UsageError: If something else is there, or the folder is the one the user is in.
    """
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    strange = [name for name in found if name not in names]
    inside = Path.cwd().is_relative_to(folder.resolve())
    if strange or inside or (folder.exists() and not folder.is_dir()):
        raise UsageError(
            f"{folder} holds something else than an earlier page.",
            "Expected a new or empty folder, or an earlier page's; found "
            + ("the one you are in." if inside else f"{', '.join(strange[:3]) or 'a file'}."),
            "another folder.",
        )
