"""Reading folders of images and looking for copies, with what a user is told meanwhile."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from concrete_study.datasets.duplicates import Pair, find_pairs
from concrete_study.datasets.folders import ImageFolder, read_folder
from concrete_study.datasets.sources import join_folders
from concrete_study.search.progress import Progress

LONGEST_LIST = 10  # notes of one kind; a count stands for the rest


def read_images(sources: Mapping[str, Path], progress: Progress) -> ImageFolder:
    """Reads folders by the name of their source as one, and names the files it leaves out.

    Raises:
        DataError: If a folder cannot be studied, or they do not have the same classes.
    """
    with progress.counting("reading images", 0) as done:
        folders = {
            name: read_folder(root, on_image=lambda: done(1)) for name, root in sources.items()
        }
    folder = join_folders(folders)
    log_first(progress, "left out", [f"{f.file}: {f.reason}" for f in folder.faults])
    return folder


def find_near_duplicates(files: Mapping[str, Path], progress: Progress) -> list[Pair]:
    """Pairs of files, by SHA-256, that show the same picture.

    Raises:
        DataError: If an image can no longer be read.
    """
    with progress.counting("looking for copies", 0) as done:
        return find_pairs(files, on_image=lambda: done(1))


def log_first(progress: Progress, what: str, lines: Sequence[str]) -> None:
    """Says the first few lines one by one, and how many more there are."""
    for line in lines[:LONGEST_LIST]:
        progress.log(f"{what}: {line}")
    if len(lines) > LONGEST_LIST:
        progress.log(f"{what}: {len(lines) - LONGEST_LIST} more")
