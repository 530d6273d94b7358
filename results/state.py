"""Whether a study may be begun, gone on with or replaced."""

from datasets.errors import StudyStateError
from results.folder import StudyFolder


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
    if not exists and (found := study.remains()):
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
