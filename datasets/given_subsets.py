"""Subsets that are not drawn: of a ready-made split, or in folders of their own.

No group straddles two of them: a near-duplicate of an image that has its subset is excluded.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from concrete_study.datasets.errors import DataError, UsageError
from concrete_study.datasets.folders import LabelledImage
from concrete_study.datasets.progress import Progress
from concrete_study.datasets.splits import EXTERNAL, SUBSETS, SplitRow, split_images


def complete_split(
    images: Sequence[LabelledImage],
    *,
    seed: int,
    groups: Mapping[str, str],
    shares: Sequence[float],
    earlier: Mapping[str, str],
    progress: Progress,
) -> list[SplitRow]:
    """Keeps given subsets, and splits the training images where validation or test is missing.

    The test images are kept whole; near-duplicates of them are excluded from validation and
    train, and those of validation images from train. Images without a given subset, from
    other folders, are training images.

    Args:
        images: With their given subsets.
        seed: Of the split of the training images.
        groups: Each image's group by SHA-256.
        shares: Parts of train, validation and test; those of the subsets to make count.
        earlier: See `split_images`.
        progress: Receives the number of images that are excluded.

    Returns:
        One row per image, sorted by file.

    Raises:
        DataError: If a class has too few images left.
    """
    rows = _given_rows(images, groups, progress)
    left = _training_images(images, rows, groups, progress)
    given = {image.subset for image in images}
    missing = [name for name in SUBSETS if name == "train" or name not in given]
    if missing == ["train"]:
        return sorted(rows + _rows(left, "train", groups))
    parts = [share for name, share in zip(SUBSETS, shares, strict=True) if name in missing]
    whole = [part / sum(parts) for part in parts]
    drawn = split_images(
        left, seed=seed, groups=groups, shares=whole, subsets=missing, earlier=earlier
    )
    for name in missing[1:]:
        part = f"{sum(row.subset == name for row in drawn)} of {len(drawn)} training images"
        progress.log(f"No {name} images are given: {part} are split off.")
    return sorted(rows + drawn)


def as_test_images(
    tested: Sequence[LabelledImage], own: Sequence[LabelledImage], root: Path
) -> list[LabelledImage]:
    """The images of a test set in a folder of its own, as the given test subset.

    Args:
        tested: Images of that folder.
        own: Images of the study's other folders.
        root: The folder, for errors.

    Raises:
        UsageError: If the other folders have test images, too.
        DataError: If label conflicts have left no image.
    """
    if any(image.subset == "test" for image in own):
        raise UsageError(
            f"{root} would be a second test set.",
            "Expected data without test images of its own; it is a ready-made split that has them.",
            "the training folder alone as data, or the other test set as an external test set.",
            parameter="test",
        )
    if not tested:
        raise DataError(
            f"no image of {root} is left to test on.",
            "Expected images that have the same class as their near-duplicates in the data; "
            "found none.",
            "correct the labels of the test set.",
            parameter="test",
        )
    return [image._replace(subset="test") for image in tested]


def add_other_folders(
    rows: Sequence[SplitRow],
    validation: Sequence[LabelledImage],
    external: Sequence[LabelledImage],
    groups: Mapping[str, str],
    progress: Progress,
) -> list[SplitRow]:
    """Adds images of other folders to a split, except near-duplicates of images in the split.

    Args:
        rows: The split of the study's own images.
        validation: Images that replace the validation subset, whose images move to train.
        external: Images on which only the retrained model is evaluated.
        groups: Each image's group by SHA-256.
        progress: Receives the number of excluded images.

    Returns:
        One row per image, sorted by file.

    Raises:
        DataError: If a class has no image to validate on, or no external image is left.
    """
    placed = _replace_validation(rows, validation, groups, progress) if validation else [*rows]
    new = _unseen(external, EXTERNAL, placed, groups, progress)
    if external and not new:
        raise DataError(
            "no image is left to evaluate on.",
            "Expected images that are no near-duplicates of the study's own; found none.",
            "another folder.",
            parameter="external_test",
        )
    return sorted([*placed, *new])


def _replace_validation(
    rows: Sequence[SplitRow],
    images: Sequence[LabelledImage],
    groups: Mapping[str, str],
    progress: Progress,
) -> list[SplitRow]:
    """The rows with other validation images; those that were validation images become train."""
    replaced = sum(row.subset == "validation" for row in rows)
    if replaced:  # none if an earlier split is kept
        progress.log(
            f"{replaced} validation images are moved to train: another folder replaces them."
        )
    placed = [row._replace(subset="train") if row.subset == "validation" else row for row in rows]
    placed += _unseen(images, "validation", placed, groups, progress)
    validated = {row.label for row in placed if row.subset == "validation"}
    if empty := {row.label for row in rows} - validated:
        raise DataError(
            f"no image of class {min(empty)} is left to validate on.",
            "Expected images of every class that are no near-duplicates of the study's own.",
            "another folder.",
            parameter="validate_on",
        )
    return placed


def _given_rows(
    images: Sequence[LabelledImage], groups: Mapping[str, str], progress: Progress
) -> list[SplitRow]:
    """Rows of the test and validation images that a ready-made split has."""
    rows: list[SplitRow] = []
    for subset in ("test", "validation"):
        chosen = [image for image in images if image.subset == subset]
        placed = _rows(_without(rows, chosen, groups, progress), subset, groups)
        if chosen and not placed:
            raise DataError(
                f"no {subset} images of the ready-made split are left.",
                "Expected images that are no near-duplicates of test images; found none.",
                "use the training folder alone, which is then split by groups.",
            )
        rows += placed
    return rows


def _without(
    rows: Sequence[SplitRow],
    images: Sequence[LabelledImage],
    groups: Mapping[str, str],
    progress: Progress,
) -> list[LabelledImage]:
    """The images of groups that no row has; logs how many are excluded, by subset."""
    subset_of = {row.group: row.subset for row in rows}
    left_out = Counter(
        (image.subset or "train", subset_of[groups[image.sha256]])
        for image in images
        if groups[image.sha256] in subset_of
    )
    for (subset, other), count in sorted(left_out.items()):
        progress.log(
            f"{count} of {len(images)} {subset} images excluded: near-duplicates of {other} images."
        )
    return [image for image in images if groups[image.sha256] not in subset_of]


def _unseen(
    images: Sequence[LabelledImage],
    subset: str,
    placed: Sequence[SplitRow],
    groups: Mapping[str, str],
    progress: Progress,
) -> list[SplitRow]:
    """Rows for the images of groups that no row has yet."""
    known = {row.group for row in placed}
    new = [image for image in images if groups[image.sha256] not in known]
    if len(new) < len(images):
        progress.log(
            f"{len(images) - len(new)} of {len(images)} {subset} images excluded: near-duplicates "
            "of the study's images."
        )
    return _rows(new, subset, groups)


def _rows(
    images: Sequence[LabelledImage], subset: str, groups: Mapping[str, str]
) -> list[SplitRow]:
    return [SplitRow(i.file, i.label, subset, groups[i.sha256], i.sha256) for i in images]


def _training_images(
    images: Sequence[LabelledImage],
    rows: Sequence[SplitRow],
    groups: Mapping[str, str],
    progress: Progress,
) -> list[LabelledImage]:
    """The images to train on, of groups that no row has; DataError if a class has none."""
    train = [image for image in images if image.subset in ("train", "")]
    left = _without(rows, train, groups, progress)
    if lost := {image.label for image in images} - {image.label for image in left}:
        raise DataError(
            f"class {min(lost)} has no training images left.",
            "Expected training images that are no near-duplicates of validation and test "
            "images; found none.",
            "use the training images alone, which are then split by groups.",
        )
    return left
