"""From a study's options to its images: folder or sample, split, and what had to be left out."""

from pathlib import Path
from typing import NamedTuple

from datasets.batches import Subset, subset_of
from datasets.errors import DataError, StudyStateError
from datasets.files import file_sha256
from datasets.folders import ImageFolder, class_folders, read_folder
from datasets.sample import sample_folder
from datasets.splits import SplitRow, parse_shares, read_split, split_images, write_split
from results.folder import StudyFolder
from search.options import SearchOptions
from search.progress import Progress

DEFAULT_FOLDER = Path("datasets")


class StudyData(NamedTuple):
    """The images of a study and their places."""

    folder: ImageFolder
    rows: list[SplitRow]

    def subset(self, name: str) -> Subset:
        """The images of train, validation or test."""
        return subset_of(self.folder.root, self.rows, name, self.folder.classes)


def find_data(asked: Path | None) -> Path | None:
    """The folder to study: the one asked for, `datasets/`, or None for the sample."""
    if asked is not None:
        return asked.resolve()
    return DEFAULT_FOLDER.resolve() if class_folders(DEFAULT_FOLDER) else None


def load_data(options: SearchOptions, progress: Progress) -> StudyData:
    """Reads the images and splits them.

    Raises:
        DataError: If they cannot be studied.
    """
    if options.data is None:
        progress.note(
            "No images in datasets/: using the built-in sample of 240 synthetic photographs "
            "(drawn at first use, half a minute).\n"
            "Your own: study search --data PATH, one sub-folder per class."
        )
    root = sample_folder() if options.data is None else Path(options.data)
    with progress.counting("reading images", 0) as done:
        folder = read_folder(root, on_image=lambda: done(1))
    for fault in folder.faults[:10]:
        progress.note(f"left out: {fault.file}: {fault.reason}")
    if len(folder.faults) > 10:
        progress.note(f"left out: {len(folder.faults) - 10} more")
    rows = split_images(folder.images, seed=options.seed, shares=parse_shares(options.split))
    return StudyData(folder, rows)


def store_split(study: StudyFolder, data: StudyData) -> None:
    """Writes `split.csv`, or, on resume, holds the images against it.

    Raises:
        StudyStateError: If the images are no longer those that the study began with.
    """
    if not study.manifest_path.exists():
        write_split(study.split_path, data.rows)
    elif read_split(study.split_path) != data.rows:
        raise StudyStateError(
            f"the images of study {study.name} have changed.",
            f"Expected those of {study.split_path} in {data.folder.root}.",
            "put the images back, or --overwrite to start again.",
        )


def reopen_data(study: StudyFolder, root: Path, classes: list[str]) -> StudyData:
    """The images of a stored split, each file's content checked.

    Raises:
        DataError: If a file is missing or has changed: a score on other images, or on images
            that have moved between subsets, would not be this study's.
    """
    rows = read_split(study.split_path)
    for row in rows:
        path = root / row.file
        if not path.is_file() or file_sha256(path) != row.sha256:
            found = "other content" if path.is_file() else "no file"
            raise DataError(
                f"the images of study {study.name} have changed.",
                f"Expected {path} as {study.split_path} has it; found {found}.",
                "put the images back, or start a new study.",
            )
    return StudyData(ImageFolder(root, classes, [], []), rows)
