"""Ready-made splits: given subsets are kept, missing ones are split off, no group straddles."""

from collections import Counter
from collections.abc import Mapping, Sequence

from concrete_study.datasets.errors import DataError
from concrete_study.datasets.folders import LabelledImage
from concrete_study.datasets.progress import Progress
from concrete_study.datasets.splits import SUBSETS, SplitRow, split_images


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
    train, and those of validation images out of train. Images without a given subset, from
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
    given = {image.subset for image in images}
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
    train = [image for image in images if image.subset in ("train", "")]
    left = _without(rows, train, groups, progress)
    missing = [name for name in SUBSETS if name == "train" or name not in given]
    parts = [share for name, share in zip(SUBSETS, shares, strict=True) if name in missing]
    _require_classes(images, left)
    if len(missing) == 1:
        return sorted(rows + _rows(left, "train", groups))
    for name in missing[1:]:
        progress.log(f"The ready-made split has no {name} images: split off its training images.")
    whole = [part / sum(parts) for part in parts]
    return sorted(
        rows
        + split_images(
            left, seed=seed, groups=groups, shares=whole, subsets=missing, earlier=earlier
        )
    )


def _without(
    rows: Sequence[SplitRow],
    images: Sequence[LabelledImage],
    groups: Mapping[str, str],
    progress: Progress,
) -> list[LabelledImage]:
    """The images of groups that no row has; logs how many are left out, by subset."""
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


def _rows(
    images: Sequence[LabelledImage], subset: str, groups: Mapping[str, str]
) -> list[SplitRow]:
    return [SplitRow(i.file, i.label, subset, groups[i.sha256], i.sha256) for i in images]


def _require_classes(images: Sequence[LabelledImage], left: Sequence[LabelledImage]) -> None:
    before, after = Counter(i.label for i in images), Counter(i.label for i in left)
    for label in sorted(before):
        if not after[label]:
            raise DataError(
                f"class {label} has no training images left.",
                "Expected training images that are no near-duplicates of validation and test "
                "images; found none.",
                "use the training folder alone, which is then split by groups.",
            )
