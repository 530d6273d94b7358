"""A study whose images have moved to other folders."""

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from concrete_study.datasets.archives import open_archive
from concrete_study.datasets.errors import UsageError
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import StudyRecord
from concrete_study.search.images import given_folders, reopen_data


def store_new_folders(study: StudyFolder, folders: Sequence[Path]) -> None:
    """Stores the new folders of a study's images, if every file has its content in `split.csv`.

    Args:
        study: The study; nothing changes if the folders are those that it has.
        folders: Folders or zip files, in the order of the study's; those of `test`, `validate_on`
            and `external_test` may follow, all of them or none.

    Raises:
        UsageError: If it is another number of folders.
        DataError: If an image is missing or has changed; nothing is stored.
    """
    with study.lock():
        manifest = study.manifest()
        moved = _in_folders(manifest, [str(folder.resolve()) for folder in folders])
        if moved != manifest:
            reopen_data(study, moved)
            study.write_manifest(moved)


def _in_folders(manifest: StudyRecord, folders: Sequence[str]) -> StudyRecord:
    options, stored = manifest.options, list(manifest.data.values())
    own = len(options.data)
    if not own or len(folders) not in (own, len(stored)):
        order = f"the new folder of each, in this order: {' '.join(stored[:own])}"
        if stored[own:]:
            order += f"; if these have moved, too, then all of {' '.join(stored[own:])}"
        expected = order if own else "none, as the images are the built-in sample"
        raise UsageError(
            f"{len(folders)} folders are given for the images of study {manifest.name}.",
            f"Expected {expected}.",
            parameter="data",
        )
    roots = [*(str(open_archive(Path(f))) for f in folders), *stored[len(folders) :]]
    paths = [*folders, *given_folders(options)[len(folders) :]]
    others = iter(paths[own:])
    return replace(
        manifest,
        data=dict(zip(manifest.data, roots, strict=True)),
        options=replace(
            options,
            data=tuple(paths[:own]),
            test=next(others) if options.test else None,
            validate_on=next(others) if options.validate_on else None,
            external_test=tuple(others),
        ),
    )
