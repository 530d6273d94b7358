"""From a study's options to its images: folder or sample, split, and what had to be left out."""

from pathlib import Path
from typing import NamedTuple

from datasets.batches import Subset, subset_of
from datasets.errors import DataError, StudyError, StudyStateError
from datasets.files import file_sha256
from datasets.folders import (
    ImageFolder,
    LabelledImage,
    class_folders,
    loose_images,
    read_folder,
)
from datasets.sample import sample_folder, sample_path
from datasets.splits import SplitRow, parse_shares, read_split, split_images, write_split
from results.folder import StudyFolder, list_studies
from search.grouping import group_folder, note_first
from search.options import SearchOptions
from search.progress import Progress

DEFAULT_FOLDER = Path("datasets")


class StudyData(NamedTuple):
    """The images of a study and their places."""

    folder: ImageFolder
    rows: list[SplitRow]
    conflicts: list[list[LabelledImage]]  # one picture, several labels: left out of all subsets

    def subset(self, name: str) -> Subset:
        """The images of train, validation or test."""
        return subset_of(self.folder.root, self.rows, name, self.folder.classes)


def find_data(asked: Path | None) -> Path | None:
    """The folder to study: the one asked for, `datasets/`, or None for the sample.

    Images that lie in `datasets/` without class folders are a user's too: `read_folder` then says
    what is missing, where the sample would be studied in their stead.
    """
    if asked is not None:
        return asked.resolve()
    filled = class_folders(DEFAULT_FOLDER) or loose_images(DEFAULT_FOLDER)
    return DEFAULT_FOLDER.resolve() if filled else None


def load_data(options: SearchOptions, study: StudyFolder, progress: Progress) -> StudyData:
    """Reads the images, finds out which belong together, and splits them.

    Raises:
        DataError: If they cannot be studied.
    """
    if options.data is None:
        drawing = "" if sample_path().is_dir() else " (drawn at first use, half a minute)"
        progress.note(
            "No images in datasets/: using the built-in sample of 240 synthetic photographs"
            f"{drawing}.\n"
            "Your own: study search --data PATH, one sub-folder per class."
        )
    root = sample_folder() if options.data is None else Path(options.data)
    with progress.counting("reading images", 0) as done:
        folder = read_folder(root, on_image=lambda: done(1))
    note_first(progress, "left out", [f"{f.file}: {f.reason}" for f in folder.faults])
    grouping = group_folder(folder, options, progress)
    left_out = {image for conflict in grouping.conflicts for image in conflict}
    rows = split_images(
        [image for image in folder.images if image not in left_out],
        seed=options.seed,
        groups=grouping.groups,
        shares=parse_shares(options.split),
        earlier=_earlier_places(options, study),
    )
    return StudyData(folder, rows, grouping.conflicts)


def _earlier_places(options: SearchOptions, study: StudyFolder) -> dict[str, str]:
    """Subsets by SHA-256 from this study, if it was begun before, or the last one like it.

    A folder that has grown since then keeps its images where they were, so that no study
    tests on what another one on the same folder trained on.
    """
    decisive = ("data", "seed", "split", "groups", "split_by", "keep_conflicts")
    wanted = options.to_json()
    for other in (study, *reversed(list_studies(study.path.parent))):
        try:
            stored = other.manifest()["options"]
            if all(stored.get(name) == wanted[name] for name in decisive):
                return {row.sha256: row.subset for row in read_split(other.split_path)}
        except (StudyError, OSError):
            continue  # not begun yet, or damaged: it has no split to keep to
    return {}


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
    return StudyData(ImageFolder(root, classes, [], []), rows, [])
