"""Which image trains, which validates, which tests: decided once, by content, and stored."""

import csv
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from concrete_study.datasets.errors import DataError, StudyStateError, UsageError
from concrete_study.datasets.files import write_text
from concrete_study.datasets.folders import LabelledImage
from concrete_study.datasets.groups import group_images

SUBSETS = ("train", "validation", "test")
EXTERNAL = "external"  # other folders' images: tested on apart, never trained on
DEFAULT_SHARES = (0.70, 0.15, 0.15)


class SplitRow(NamedTuple):
    """One image's place; images of one group are the same picture and share a subset."""

    file: str
    label: str
    subset: str
    group: str
    sha256: str


def parse_shares(text: str) -> tuple[float, float, float]:
    """Reads `70/15/15` as shares of train, validation and test that sum to 1.

    Raises:
        UsageError: If it is not three positive numbers that sum to 100.
    """
    try:
        parts = [float(part) for part in text.split("/")]
    except ValueError:
        parts = []
    positive = len(parts) == 3 and all(part > 0 for part in parts)
    if not (positive and abs(sum(parts) - 100) <= 1e-6):  # so put that NaN fails too
        raise UsageError(
            f"--split {text} cannot be used.",
            "Expected three positive percentages for train/validation/test that sum to 100.",
            "--split 70/15/15",
        )
    train, validation, test = (part / 100 for part in parts)
    return train, validation, test


def split_images(
    images: Sequence[LabelledImage],
    *,
    seed: int,
    groups: Mapping[str, str] | None = None,
    shares: tuple[float, float, float] = DEFAULT_SHARES,
    earlier: Mapping[str, str] = MappingProxyType({}),
) -> list[SplitRow]:
    """Splits images by class, never putting one group on two sides.

    Large groups are dealt first, as small ones can still even out the subsets; among equals
    a hash of their content and the seed decides. So the same images and seed give the same
    split on every machine, whatever the files' order, dates or place.

    Args:
        images: All images of all classes.
        seed: Any integer.
        groups: Each image's group by SHA-256, from `group_images`; None puts together only what
            is byte-identical.
        shares: Parts of train, validation and test, positive, sum 1.
        earlier: Subsets by SHA-256 from an earlier split of the same folder. They stay, and
            only images that are new to it are dealt. If a new image shows that two groups
            are one, its images go where most of them were.

    Returns:
        One row per image, sorted by file.

    Raises:
        DataError: If a class has too few groups for three subsets.
    """
    groups = group_images(images) if groups is None else groups
    members: dict[str, list[LabelledImage]] = defaultdict(list)
    for image in images:
        members[groups[image.sha256]].append(image)
    _require_three(members)
    totals = Counter(image.label for image in images)
    due = {label: _quotas(total, shares) for label, total in totals.items()}
    filled: dict[str, Counter[str]] = {subset: Counter() for subset in SUBSETS}
    rows = []

    def deal(group: str, subset: str) -> None:
        for image in members[group]:
            filled[subset][image.label] += 1
            rows.append(SplitRow(image.file, image.label, subset, group, image.sha256))

    kept = {group: subset for group in members if (subset := _kept(members[group], earlier))}
    for group, subset in kept.items():
        deal(group, subset)
    new = [group for group in members if group not in kept]
    for group in sorted(new, key=lambda g: (-len(members[g]), _deal_order(g, seed))):
        deal(group, _emptiest(members[group], filled, due))
    return sorted(rows)


def draw_part(rows: Sequence[SplitRow], count: int, *, seed: int) -> list[SplitRow]:
    """Draws about `count` of the images that train and validate, by subset and class alike.

    Whole groups are drawn, so a part has as many copies among its pictures as the whole; at
    least one group of each subset and class.

    Args:
        rows: A split.
        count: Of train and validation together, at least 1.
        seed: Any integer.

    Returns:
        The rows drawn, sorted by file; all of them if there are no more than `count`.
    """
    searched = [row for row in rows if row.subset in ("train", "validation")]
    members: dict[str, list[SplitRow]] = defaultdict(list)
    for row in searched:
        members[row.group].append(row)
    totals = Counter((row.subset, row.label) for row in searched)
    due = {place: total * count / len(searched) for place, total in totals.items()}
    drawn: Counter[tuple[str, str]] = Counter()
    chosen = []
    for group in sorted(members, key=lambda group: _deal_order(group, seed)):
        place = members[group][0].subset, members[group][0].label
        if not drawn[place] or drawn[place] + len(members[group]) <= due[place]:
            drawn[place] += len(members[group])
            chosen += members[group]
    return sorted(chosen)


def _kept(members: Sequence[LabelledImage], earlier: Mapping[str, str]) -> str | None:
    """Where most of a group's images were before; None if they are all new."""
    places = Counter(earlier[i.sha256] for i in members if i.sha256 in earlier)
    return max(SUBSETS, key=lambda subset: places[subset]) if places else None


def _deal_order(group: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {group}".encode()).hexdigest()


def _quotas(total: int, shares: tuple[float, float, float]) -> dict[str, int]:
    """Whole numbers of images for each subset, at least 1, within 1 of the share from 4 on."""
    quotas = dict.fromkeys(SUBSETS, 1)
    due = {subset: share * total for subset, share in zip(SUBSETS, shares, strict=True)}
    for _ in range(total - len(SUBSETS)):
        # Rounded, so that a share's last binary digit decides no tie.
        quotas[max(SUBSETS, key=lambda subset: round(due[subset] - quotas[subset], 6))] += 1
    return quotas


def _emptiest(
    members: Sequence[LabelledImage],
    filled: dict[str, Counter[str]],
    due: dict[str, dict[str, int]],
) -> str:
    """The subset that has the smallest part of what it is due in these images' classes."""

    def fullness(subset: str) -> float:
        return sum(filled[subset][i.label] / due[i.label][subset] for i in members)

    return min(SUBSETS, key=fullness)


def _require_three(members: Mapping[str, Sequence[LabelledImage]]) -> None:
    different = Counter(label for group in members.values() for label in {i.label for i in group})
    for label, count in sorted(different.items()):
        if count < 3:
            noun = "group" if count == 1 else "groups"
            raise DataError(
                f"class {label} has {count} {noun} of images.",
                "Expected at least 3 per class, one each to train, validate and test; copies "
                "of one picture are one group.",
                f"add images to the folder {label}.",
            )


def write_split(path: Path, rows: Sequence[SplitRow]) -> None:
    """Writes `split.csv` atomically: file, class, subset, group, sha256."""
    text = io.StringIO()
    plain = csv.writer(text, lineterminator="\n")
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    plain.writerow(("file", "class", "subset", "group", "sha256"))
    for row in rows:
        # Python 3.11 leaves a bare carriage return unquoted, and reads it as the line's end.
        (quoted if "\r" in "".join(row) else plain).writerow(row)
    write_text(path, text.getvalue())


def read_split(path: Path) -> list[SplitRow]:
    """Reads what `write_split` wrote.

    Raises:
        StudyStateError: If the file is damaged.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [SplitRow(*row) for row in list(csv.reader(file))[1:]]
    except (TypeError, ValueError, csv.Error) as error:
        raise StudyStateError(
            f"{path} is damaged.",
            "Expected the columns file, class, subset, group, sha256 in every line.",
            "restore the file from a copy, or --overwrite to start the study again.",
        ) from error
