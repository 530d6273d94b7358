"""From a study's options to its images: folders or sample, split, and what had to be left out."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from concrete_study.datasets.batches import Subset, subset_of
from concrete_study.datasets.errors import DataError, StudyError, StudyStateError
from concrete_study.datasets.files import file_sha256
from concrete_study.datasets.folders import (
    ImageFolder,
    LabelledImage,
    Roots,
    class_folders,
    locate,
    loose_images,
    root_of,
)
from concrete_study.datasets.sample import sample_folder, sample_path
from concrete_study.datasets.sources import name_datasets
from concrete_study.datasets.splits import (
    EXTERNAL,
    SUBSETS,
    SplitRow,
    draw_part,
    parse_shares,
    read_split,
    split_images,
    write_split,
)
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import SearchOptions, StudyRecord
from concrete_study.results.runs import list_studies
from concrete_study.search.grouping import group_folder
from concrete_study.search.holdout import place_others
from concrete_study.search.progress import Progress
from concrete_study.search.reading import read_images

DEFAULT_FOLDER = Path("datasets")


class StudyData(NamedTuple):
    """The images of a study and their places."""

    folder: ImageFolder
    rows: list[SplitRow]
    conflicts: list[list[LabelledImage]]  # one picture, several labels: left out of all subsets

    def subset(self, name: str) -> Subset:
        """The images of train, validation, test or held-out."""
        return subset_of(self.folder.roots, self.rows, name, self.folder.classes)

    def part(self, count: int | None, *, seed: int) -> "StudyData":
        """What a search uses: `count` images of train and validation, drawn; None is all."""
        if count is None:
            return self
        return self._replace(rows=draw_part(self.rows, count, seed=seed))

    def counts(self) -> dict[str, int]:
        """How many images each subset has; held-out only where there are any."""
        counts = {name: sum(row.subset == name for row in self.rows) for name in SUBSETS}
        external = sum(row.subset == EXTERNAL for row in self.rows)
        return counts | ({EXTERNAL: external} if external else {})


def find_data(asked: Sequence[Path]) -> list[Path]:
    """The folders to study: those asked for, else `datasets/`, or none for the sample.

    Images that lie in `datasets/` without class folders are a user's too: `read_folder` then says
    what is missing, where the sample would be studied in their stead.
    """
    if asked:
        return [path.resolve() for path in asked]
    filled = class_folders(DEFAULT_FOLDER) or loose_images(DEFAULT_FOLDER)
    return [DEFAULT_FOLDER.resolve()] if filled else []


def load_data(options: SearchOptions, study: StudyFolder, progress: Progress) -> StudyData:
    """Reads the images, finds out which belong together, and splits them.

    Raises:
        DataError: If they cannot be studied.
    """
    sources = _sources(options, progress)
    folder = read_images(sources, progress)
    grouping = group_folder(folder, options, progress)
    by_root: dict[str, list[LabelledImage]] = defaultdict(list)
    for image in grouping.without_conflicts(folder):
        by_root[str(root_of(folder.roots, image.file))].append(image)
    validating = by_root.pop(options.validate_on or "", [])
    external = [image for root in options.external_test for image in by_root.pop(root, [])]
    rows = split_images(
        [image for images in by_root.values() for image in images],
        seed=options.seed,
        groups=grouping.groups,
        shares=parse_shares(options.split),
        earlier=_earlier_places(options, study),
    )
    if validating or external:
        rows = place_others(rows, validating, external, grouping.groups, progress)
    return StudyData(folder, rows, grouping.conflicts)


def _sources(options: SearchOptions, progress: Progress) -> dict[str, Path]:
    if not options.data:
        drawing = "" if sample_path().is_dir() else " (drawn at first use, half a minute)"
        progress.log(
            "No images in datasets/: using the built-in sample of 240 synthetic photographs"
            f"{drawing}.\n"
            "Your own: study search --data PATH, one sub-folder per class."
        )
    own = [Path(path) for path in options.data] or [sample_folder()]
    validating = [Path(options.validate_on)] if options.validate_on else []
    return name_datasets([*own, *validating, *map(Path, options.external_test)])


def _earlier_places(options: SearchOptions, study: StudyFolder) -> dict[str, str]:
    """Subsets by SHA-256 from this study, if it was begun before, or the last one like it.

    A folder that has grown since then keeps its images where they were, so that no study
    tests on what another one on the same folder trained on.
    """
    decisive = ("data", "seed", "split", "groups", "split_by", "keep_conflicts", "validate_on")
    for other in (study, *reversed(list_studies(study.path.parent))):
        try:
            stored = other.manifest().options
            if all(getattr(stored, name) == getattr(options, name) for name in decisive):
                return {row.sha256: row.subset for row in read_split(other.split_path)}
        except (StudyError, OSError):
            continue  # not begun yet, or damaged: it has no split to keep to
    return {}


def store_split(study: StudyFolder, data: StudyData) -> None:
    """Writes `split.csv`, or, on resume, holds the images against it.

    Raises:
        StudyStateError: If the images are no longer those that the study began with.
    """
    if study.manifest_path.exists():
        require_split(study, data)
    else:
        write_split(study.split_path, data.rows)


def require_split(study: StudyFolder, data: StudyData) -> None:
    """Raises StudyStateError if the images are no longer those that a study began with."""
    if read_split(study.split_path) != data.rows:
        folders = " and ".join(str(root) for root in data.folder.roots.values())
        raise StudyStateError(
            f"the images of study {study.name} have changed.",
            f"Expected those of {study.split_path} in {folders}.",
            "put the images back, or start a new study.",
        )


def stored_roots(manifest: StudyRecord) -> Roots:
    """The folders of a study's images, by source."""
    return {name: Path(root) for name, root in manifest.data.items()}


def reopen_data(study: StudyFolder, manifest: StudyRecord) -> StudyData:
    """The images of a stored split, each file's content checked.

    Raises:
        DataError: If a file is missing or has changed: a score on other images, or on images
            that have moved between subsets, would not be this study's.
    """
    rows, roots = read_split(study.split_path), stored_roots(manifest)
    for row in rows:
        path = locate(roots, row.file)
        if not path.is_file() or file_sha256(path) != row.sha256:
            found = "other content" if path.is_file() else "no file"
            raise DataError(
                f"the images of study {study.name} have changed.",
                f"Expected {path} as {study.split_path} has it; found {found}.",
                "put the images back, or start a new study.",
            )
    return StudyData(ImageFolder(roots, manifest.classes, [], []), rows, [])
