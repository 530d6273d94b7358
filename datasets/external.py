"""Images of other folders in a split: as the validation subset, or as an external test set."""

from collections.abc import Mapping, Sequence

from concrete_study.datasets.errors import DataError
from concrete_study.datasets.folders import LabelledImage
from concrete_study.datasets.progress import Progress
from concrete_study.datasets.splits import EXTERNAL, SplitRow


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
        validation: Images that replace the validation subset, whose own images move to train;
            none leaves it as it is.
        external: Images on which only the retrained model is evaluated.
        groups: Each image's group by SHA-256.
        progress: Receives the number of excluded images.

    Returns:
        One row per image, sorted by file.

    Raises:
        DataError: If a class has no image to validate on, or no external image is left.
    """
    placed = list(rows)
    if validation:
        placed = [_train_instead_of_validate(row) for row in placed]
        placed += _unseen(validation, "validation", placed, groups, progress)
        empty = {row.label for row in rows} - {
            row.label for row in placed if row.subset == "validation"
        }
        if empty:
            raise DataError(
                f"no image of class {min(empty)} is left to validate on.",
                "Expected images of every class that are no near-duplicates of the study's own.",
                "another folder.",
                parameter="validate_on",
            )
    new = _unseen(external, EXTERNAL, placed, groups, progress)
    if external and not new:
        raise DataError(
            "no image is left to evaluate on.",
            "Expected images that are no near-duplicates of the study's own; found none.",
            "another folder.",
            parameter="external_test",
        )
    return sorted([*placed, *new])


def _train_instead_of_validate(row: SplitRow) -> SplitRow:
    return row._replace(subset="train") if row.subset == "validation" else row


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
    return [SplitRow(i.file, i.label, subset, groups[i.sha256], i.sha256) for i in new]
