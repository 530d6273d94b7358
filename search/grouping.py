"""Which of a study's images must stay on one side of its split, and what is said about it."""

from collections.abc import Sequence
from typing import NamedTuple

from concrete_study.datasets.folders import ImageFolder, LabelledImage
from concrete_study.datasets.groups import conflicting_groups, group_images, links_by_name
from concrete_study.results.records import SearchOptions
from concrete_study.search.progress import Progress
from concrete_study.search.reading import find_near_duplicates, log_first


class Grouping(NamedTuple):
    """Groups by SHA-256, and the pictures that have several labels."""

    groups: dict[str, str]
    conflicts: list[list[LabelledImage]]  # empty if they are to be kept

    def without_conflicts(self, folder: ImageFolder) -> list[LabelledImage]:
        """The images that are to be used."""
        conflicting = {image for conflict in self.conflicts for image in conflict}
        return [image for image in folder.images if image not in conflicting]


def group_folder(folder: ImageFolder, options: SearchOptions, progress: Progress) -> Grouping:
    """Groups images that show the same picture, and those that a user's rule puts together.

    Raises:
        DataError: If an image can no longer be read.
        UsageError: If `--split-by` cannot be followed.
    """
    links: list[Sequence[str]] = []
    if options.groups:
        pairs = find_near_duplicates(folder.files(), progress)
        links += [(pair.first, pair.second) for pair in pairs]
    pictures = group_images(folder.images, links)
    _note_copies(folder, pictures, options, progress)
    conflicts = conflicting_groups(folder.images, pictures)
    log_first(
        progress,
        "the same picture under two labels" + ("" if options.keep_conflicts else ", left out"),
        [" and ".join(image.file for image in conflict) for conflict in conflicts],
    )
    if options.split_by:
        links += links_by_name(folder, options.split_by)
    groups = group_images(folder.images, links)
    return Grouping(groups, [] if options.keep_conflicts else conflicts)


def _note_copies(
    folder: ImageFolder, pictures: dict[str, str], options: SearchOptions, progress: Progress
) -> None:
    images, different = len(folder.images), len(set(pictures.values()))
    if not options.groups:
        progress.log(
            "--no-groups: copies of one picture may be trained on and tested on; only "
            "byte-identical files stay together."
        )
    elif different < images:
        progress.log(
            f"{images} images show {different} different pictures; copies stay on one side of "
            "the split."
        )
