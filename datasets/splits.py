"""Grouped, stratified splits into train, validation and test, and the file `split.csv`."""

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from concrete_study.datasets.errors import DataError, StudyStateError, UsageError
from concrete_study.datasets.files import write_text
from concrete_study.datasets.folders import LabelledImage
from concrete_study.datasets.groups import group_images, group_members
from concrete_study.datasets.printing import csv_row, from_csv_cell

SUBSETS = ("train", "validation", "test")
_HEADER = ("file", "class", "subset", "group", "sha256")  # of split.csv
EXTERNAL = "external"  # images of other folders: evaluated separately, never trained on
DEFAULT_SHARES = (0.70, 0.15, 0.15)


class SplitRow(NamedTuple):
    """One image with its subset; all images of a group are in the same subset."""

    file: str
    label: str
    subset: str
    group: str
    sha256: str


def parse_shares(text: str, *, test_given: bool = False) -> tuple[float, float, float]:
    """Reads `70/15/15` as shares of train, validation and test that sum to 1.

    Args:
        text: Percentages with slashes between them.
        test_given: Whether the test images have a folder of their own; the test share is then
            not used, and may be 0.

    Raises:
        UsageError: If it is not three positive numbers that sum to 100.
    """
    try:
        parts = [float(part) for part in text.split("/")]
    except ValueError:
        parts = []
    used = parts[:2] if test_given and parts[2:] == [0] else parts
    positive = len(parts) == 3 and all(part > 0 for part in used)
    if not (positive and abs(sum(parts) - 100) <= 1e-6):  # true for NaN, too
        raise UsageError(
            f"{text} is not a valid split.",
            "Expected three positive percentages for train/validation/test that sum to 100.",
            "70/15/15, or 85/15/0 with a test set in a folder of its own.",
            parameter="split",
        )
    train, validation, test = (part / 100 for part in parts)
    return train, validation, test


def split_images(
    images: Sequence[LabelledImage],
    *,
    seed: int,
    groups: Mapping[str, str] | None = None,
    shares: Sequence[float] = DEFAULT_SHARES,
    subsets: Sequence[str] = SUBSETS,
    earlier: Mapping[str, str] = MappingProxyType({}),
) -> list[SplitRow]:
    """Splits images, stratified by class, without cutting a group.

    Kept groups come first, then large ones, as small ones can still even out the subsets; groups
    of equal size are ordered by a hash of content and seed, not by their files' order or dates.

    Args:
        images: All images of all classes.
        seed: Any integer.
        groups: Each image's group by SHA-256, from `group_images`; None groups only images of
            identical content.
        shares: Part of each subset, positive, sum 1.
        subsets: Names of the subsets.
        earlier: Subsets by SHA-256 from an earlier split of the same folder. They are kept; a
            group that a new image joins from two goes to the subset of most of its images.

    Returns:
        One row per image, sorted by file.

    Raises:
        DataError: If a class has too few groups for the subsets.
    """
    groups = group_images(images) if groups is None else groups
    members = group_members(images, groups)
    _require_groups(members, subsets)
    totals = Counter(image.label for image in images)
    due = {label: _quotas(total, shares, subsets) for label, total in totals.items()}
    filled: dict[str, Counter[str]] = {subset: Counter() for subset in subsets}
    kept = {group: _kept(members[group], earlier, subsets) for group in members}
    rows = []
    for group in sorted(members, key=lambda g: (not kept[g], -len(members[g]), _order(g, seed))):
        subset = kept[group] or _emptiest(members[group], filled, due)
        for image in members[group]:
            filled[subset][image.label] += 1
            rows.append(SplitRow(image.file, image.label, subset, group, image.sha256))
    return sorted(rows)


def draw_part(rows: Sequence[SplitRow], count: int, *, seed: int) -> list[SplitRow]:
    """Samples about `count` of the train and validation images, stratified by subset and class.

    Whole groups are sampled, so that the share of near-duplicates stays the same; at least one
    group of each subset and class.

    Args:
        rows: A split.
        count: Of train and validation together, at least 1.
        seed: Any integer.

    Returns:
        The sampled rows, sorted by file; all of them if there are no more than `count`.
    """
    searched = [row for row in rows if row.subset in ("train", "validation")]
    members: dict[str, list[SplitRow]] = defaultdict(list)
    for row in searched:
        members[row.group].append(row)
    totals = Counter((row.subset, row.label) for row in searched)
    due = {stratum: total * count / len(searched) for stratum, total in totals.items()}
    drawn: Counter[tuple[str, str]] = Counter()
    chosen = []
    for group in sorted(members, key=lambda group: _order(group, seed)):
        stratum = members[group][0].subset, members[group][0].label
        if not drawn[stratum] or drawn[stratum] + len(members[group]) <= due[stratum]:
            drawn[stratum] += len(members[group])
            chosen += members[group]
    return sorted(chosen)


def _kept(
    members: Sequence[LabelledImage], earlier: Mapping[str, str], subsets: Sequence[str]
) -> str | None:
    """The earlier subset of most of a group's images; None if they are all new."""
    counts = Counter(earlier[i.sha256] for i in members if earlier.get(i.sha256) in subsets)
    return max(subsets, key=lambda subset: counts[subset]) if counts else None


def _order(group: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {group}".encode()).hexdigest()


def _quotas(total: int, shares: Sequence[float], subsets: Sequence[str]) -> dict[str, int]:
    """Number of images for each subset: at least 1, within 1 of the share for `total` >= 4."""
    quotas = dict.fromkeys(subsets, 1)
    due = {subset: share * total for subset, share in zip(subsets, shares, strict=True)}
    for _ in range(total - len(subsets)):
        # Rounded: the last binary digit of a share must not decide a tie.
        quotas[max(subsets, key=lambda subset: round(due[subset] - quotas[subset], 6))] += 1
    return quotas


def _emptiest(
    members: Sequence[LabelledImage],
    filled: dict[str, Counter[str]],
    due: dict[str, dict[str, int]],
) -> str:
    """The subset that is the least filled, relative to its quotas, in these images' classes."""

    def fullness(subset: str) -> float:
        return sum(filled[subset][i.label] / due[i.label][subset] for i in members)

    return min(filled, key=fullness)


def _require_groups(members: Mapping[str, Sequence[LabelledImage]], subsets: Sequence[str]) -> None:
    different = Counter(label for group in members.values() for label in {i.label for i in group})
    for label, count in sorted(different.items()):
        if count < len(subsets):
            noun = "group" if count == 1 else "groups"
            names = f"{', '.join(subsets[:-1])} and {subsets[-1]}"
            raise DataError(
                f"class {label} has {count} {noun} of images.",
                f"Expected at least {len(subsets)} per class, one each for {names}; "
                "near-duplicates are one group.",
                f"add images to the folder {label}.",
            )


def write_split(path: Path, rows: Sequence[SplitRow]) -> None:
    """Writes `split.csv` atomically: file, class, subset, group, sha256."""
    write_text(path, "".join(map(csv_row, [_HEADER, *rows])))


def read_split(path: Path) -> list[SplitRow]:
    """Reads what `write_split` wrote.

    Raises:
        StudyStateError: If the file is damaged.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = map(tuple, csv.reader(file))
            if header != _HEADER or not rows:
                raise ValueError
            return [SplitRow(*map(from_csv_cell, row)) for row in rows]
    except (FileNotFoundError, TypeError, ValueError, csv.Error) as error:
        found = f"{path.stat().st_size} bytes of another form" if path.exists() else "no file"
        raise StudyStateError(
            f"{path} is damaged.",
            f"Expected the columns {', '.join(_HEADER)} and a line for each image; found {found}.",
            "restore the file from a backup, or start the study again.",
        ) from error
