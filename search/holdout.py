"""Folders that are not searched on: they choose between configurations, or only test the best."""

from collections.abc import Mapping, Sequence

from concrete_study.datasets.errors import DataError
from concrete_study.datasets.folders import LabelledImage
from concrete_study.datasets.splits import EXTERNAL, SplitRow
from concrete_study.search.progress import Progress


def place_others(
    rows: Sequence[SplitRow],
    validating: Sequence[LabelledImage],
    external: Sequence[LabelledImage],
    groups: Mapping[str, str],
    progress: Progress,
) -> list[SplitRow]:
    """Adds the images of other folders to a split, unless the study knows their pictures.

    Args:
        rows: The split of the study's own images.
        validating: Images that take the place of the validation subset, whose own images
            are trained on instead; none leaves it as it is.
        external: Images that only the retrained model is tested on.
        groups: Each image's group by SHA-256.
        progress: Told what is left out.

    Returns:
        One row per image, sorted by file.

    Raises:
        DataError: If a class has no image to validate on, or nothing is left to hold out.
    """
    placed = list(rows)
    if validating:
        placed = [_trained_on(row) for row in placed]
        placed += _unknown(validating, "validation", placed, groups, progress)
        empty = {row.label for row in rows} - {
            row.label for row in placed if row.subset == "validation"
        }
        if empty:
            raise DataError(
                f"--validate-on leaves no image of class {min(empty)}.",
                "Expected pictures of every class that are not among the study's own.",
                "another folder.",
            )
    new = _unknown(external, EXTERNAL, placed, groups, progress)
    if external and not new:
        raise DataError(
            "--hold-out leaves no image to test on.",
            "Expected pictures that are not among the study's own; found none.",
            "another folder.",
        )
    return sorted([*placed, *new])


def _trained_on(row: SplitRow) -> SplitRow:
    return row._replace(subset="train") if row.subset == "validation" else row


def _unknown(
    images: Sequence[LabelledImage],
    subset: str,
    placed: Sequence[SplitRow],
    groups: Mapping[str, str],
    progress: Progress,
) -> list[SplitRow]:
    known = {row.group for row in placed}
    new = [image for image in images if groups[image.sha256] not in known]
    if len(new) < len(images):
        progress.log(
            f"{len(images) - len(new)} of {len(images)} {subset} images are left out: the study "
            "has the same pictures."
        )
    return [SplitRow(i.file, i.label, subset, groups[i.sha256], i.sha256) for i in new]
