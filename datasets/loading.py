"""Loading a study's images: reading folders, finding near-duplicates, grouping, splitting."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from concrete_study.datasets.archives import open_archive
from concrete_study.datasets.batches import Subset, subset_of
from concrete_study.datasets.errors import DataError, UsageError
from concrete_study.datasets.folders import ImageFolder, LabelledImage, root_of
from concrete_study.datasets.given_subsets import (
    add_other_folders,
    as_test_images,
    complete_split,
)
from concrete_study.datasets.groups import conflicting_groups, group_images, links_by_name
from concrete_study.datasets.progress import SILENT, Progress, log_first
from concrete_study.datasets.reading import find_near_duplicates, name_datasets, read_folders
from concrete_study.datasets.splits import (
    DEFAULT_SHARES,
    EXTERNAL,
    SUBSETS,
    SplitRow,
    draw_part,
    split_images,
)
from concrete_study.datasets.tree import has_images

DEFAULT_FOLDER = Path("datasets")


class StudyData(NamedTuple):
    """The images of a study and their split."""

    folder: ImageFolder
    rows: list[SplitRow]
    conflicts: list[list[LabelledImage]]  # near-duplicates of several labels, excluded

    def of(self, subset: str) -> list[SplitRow]:
        """The rows of a subset, in the order of its images."""
        return [row for row in self.rows if row.subset == subset]

    def subset(self, name: str) -> Subset:
        """The images of train, validation, test or external."""
        return subset_of(self.folder.roots, self.rows, name, self.folder.classes)

    def part(self, count: int | None, *, seed: int) -> "StudyData":
        """The data of a search: a sample of `count` images of train and validation; None: all."""
        if count is None:
            return self
        return self._replace(rows=draw_part(self.rows, count, seed=seed))

    def counts(self) -> dict[str, int]:
        """Number of images by subset; external only if there are any."""
        counts = {name: sum(row.subset == name for row in self.rows) for name in SUBSETS}
        external = sum(row.subset == EXTERNAL for row in self.rows)
        return counts | ({EXTERNAL: external} if external else {})


def find_data(given: Sequence[Path]) -> list[Path]:
    """The folders to study: those given, else `datasets/`, or none for the built-in sample.

    Images in `datasets/` without class folders count as the user's too: `read_folder` then
    reports what is missing, where the sample would be studied instead.
    """
    if given:
        return [path.resolve() for path in given]
    return [DEFAULT_FOLDER.resolve()] if has_images(DEFAULT_FOLDER) else []


@dataclass(frozen=True, kw_only=True)
class LoadingOptions:
    """How images are labelled, grouped and split."""

    seed: int  # of the split
    shares: tuple[float, float, float] = DEFAULT_SHARES  # used for subsets that are not given
    near_duplicates: bool = True  # stay in one subset; else only files of identical content do
    split_by: str | None = None  # further groups, see `links_by_name`
    keep_conflicts: bool = False  # use near-duplicates of several labels
    class_map: Mapping[str, str] = field(default_factory=dict)  # see `find_layout`
    labels: Path | None = None  # a CSV file of labels of a single folder, see `find_layout`
    test: Path | None = None  # a folder that is the test subset
    validate_on: Path | None = None  # a folder whose images replace the validation subset
    external_test: Sequence[Path] = ()  # folders on which only the retrained model is evaluated
    earlier: Mapping[str, str] = field(default_factory=dict)  # see `split_images`


def load_images(
    roots: Sequence[Path], options: LoadingOptions, progress: Progress = SILENT
) -> StudyData:
    """Reads images, groups near-duplicates, and splits them by class without cutting a group.

    Args:
        roots: Folders or zip files of images, studied as one; see `find_layout`.
        options: Of this data.
        progress: Receives messages and counts.

    Raises:
        DataError: If the images cannot be studied.
        UsageError: If a folder is given twice, or `labels` or `split_by` cannot be used.
    """
    _require_one_folder(roots, options.labels)
    others = ([options.test], [options.validate_on], options.external_test)
    own, test, validation, external = (
        [open_archive(root, progress) for root in part if root] for part in (roots, *others)
    )
    named = name_datasets([*own, *test, *validation, *external])
    own_names = [name for name, root in named.items() if root in own]
    folder = read_folders(
        named,
        progress,
        class_map=options.class_map,
        labels=dict.fromkeys(own_names, options.labels) if options.labels else {},
        partial=named.keys() - own_names,
    )
    groups, conflicts = group_folder(
        folder,
        near_duplicates=options.near_duplicates,
        split_by=options.split_by,
        progress=progress,
    )
    excluded = [] if options.keep_conflicts else conflicts
    _log_conflicts(conflicts, excluded, progress)
    images, tested, validated, evaluated = _images_in(
        (own, test, validation, external), folder, excluded
    )
    _require_classes(folder, images, excluded)
    if options.test:
        images += as_test_images(tested, images, options.test)
    rows = _split(images, options, groups, progress)
    rows = add_other_folders(rows, validated, evaluated, groups, progress)
    return StudyData(folder._replace(thumbnails={}), rows, excluded)


def _require_one_folder(roots: Sequence[Path], labels: Path | None) -> None:
    if labels is not None and len(roots) > 1:
        raise UsageError(
            f"{labels} cannot name the images of {len(roots)} folders.",
            "Expected one data folder with a list of labels.",
            parameter="labels",
        )


def _log_conflicts(
    conflicts: Sequence[Sequence[LabelledImage]],
    excluded: Sequence[Sequence[LabelledImage]],
    progress: Progress,
) -> None:
    log_first(
        progress,
        "near-duplicates with different labels" + (", excluded" if excluded else ""),
        [" and ".join(image.file for image in conflict) for conflict in conflicts],
    )


def _images_in(
    parts: Sequence[Sequence[Path]],
    folder: ImageFolder,
    excluded: Sequence[Sequence[LabelledImage]],
) -> list[list[LabelledImage]]:
    """The images that are not excluded, of the folders of each part."""
    left_out = {image for conflict in excluded for image in conflict}
    by_root: dict[Path, list[LabelledImage]] = defaultdict(list)
    for image in folder.images:
        if image not in left_out:
            by_root[root_of(folder.roots, image.file)].append(image)
    return [[image for root in part for image in by_root[root]] for part in parts]


def _split(
    images: Sequence[LabelledImage],
    options: LoadingOptions,
    groups: Mapping[str, str],
    progress: Progress,
) -> list[SplitRow]:
    seed, shares, earlier = options.seed, options.shares, options.earlier
    if any(image.subset for image in images):
        return complete_split(
            images, seed=seed, groups=groups, shares=shares, earlier=earlier, progress=progress
        )
    return split_images(images, seed=seed, groups=groups, shares=shares, earlier=earlier)


def _require_classes(
    folder: ImageFolder,
    images: Sequence[LabelledImage],
    conflicts: Sequence[Sequence[LabelledImage]],
) -> None:
    """DataError if label conflicts leave no image of a class."""
    left = Counter(image.label for image in images)
    excluded = Counter(image.label for conflict in conflicts for image in conflict)
    for label in folder.classes:
        if not left[label]:
            counts = ", ".join(f"{excluded[name]} of {name}" for name in sorted(excluded))
            raise DataError(
                f"class {label} has no images left.",
                "Expected images that are in one class only; excluded as near-duplicates with "
                f"different labels: {counts or 'none'}.",
                f"put every image into the folder of one class, and add images of class {label}.",
            )


def group_folder(
    folder: ImageFolder, *, near_duplicates: bool, split_by: str | None, progress: Progress
) -> tuple[dict[str, str], list[list[LabelledImage]]]:
    """Groups images that have to stay in one subset.

    Returns:
        Groups by SHA-256, and near-duplicates that have several labels.
    """
    pairs = find_near_duplicates(folder, progress) if near_duplicates else []
    links = [pair[:2] for pair in pairs]
    unique = group_images(folder.images, links)
    images, count = len(folder.images), len(set(unique.values()))
    if not near_duplicates:
        progress.log(
            "Near-duplicates are not grouped: they may be in train and test. Only files of "
            "identical content stay together."
        )
    elif count < images:
        progress.log(f"{images} images, {count} unique: near-duplicates stay in one subset.")
    conflicts = conflicting_groups(folder.images, unique)
    names = links_by_name(folder, split_by) if split_by else []
    return group_images(folder.images, [*links, *names]), conflicts
