"""Groups of images that stay in one subset: near-duplicates, or images that a user's rule links."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from concrete_study.datasets.errors import DataError, UsageError
from concrete_study.datasets.folders import ImageFolder, LabelledImage, root_of
from concrete_study.datasets.labels import read_list

BY_PREFIX = "prefix"


def group_images(
    images: Sequence[LabelledImage], links: Iterable[Sequence[str]] = ()
) -> dict[str, str]:
    """Groups images that have the same content or are linked.

    Args:
        images: All images.
        links: Contents (SHA-256) that belong together, e.g. pairs of near-duplicates.

    Returns:
        By SHA-256, the group: the first 16 digits of its smallest SHA-256.
    """
    digests = sorted({image.sha256 for image in images})
    number = {digest: index for index, digest in enumerate(digests)}
    known = ([number[d] for d in link if d in number] for link in links)
    edges = np.array([(c[0], other) for c in known for other in c[1:]], np.int64).reshape(-1, 2)
    ones = np.ones(len(edges), np.int8)
    graph = coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(len(digests), len(digests)))
    _, labels = connected_components(graph, directed=False)
    smallest: dict[int, str] = {}
    for digest, label in zip(digests, labels, strict=True):
        smallest.setdefault(int(label), digest[:16])
    return {d: smallest[int(label)] for d, label in zip(digests, labels, strict=True)}


def group_members(
    images: Sequence[LabelledImage], groups: Mapping[str, str]
) -> dict[str, list[LabelledImage]]:
    """The images of each group, in the order of `images`."""
    members: dict[str, list[LabelledImage]] = defaultdict(list)
    for image in images:
        members[groups[image.sha256]].append(image)
    return members


def conflicting_groups(
    images: Sequence[LabelledImage], groups: dict[str, str]
) -> list[list[LabelledImage]]:
    """Groups whose images have several labels, of which at most one is correct; sorted by file."""
    members = group_members(images, groups).values()
    return sorted(m for m in members if len({image.label for image in m}) > 1)


def links_by_name(folder: ImageFolder, split_by: str) -> list[list[str]]:
    """Links images by their file names or by a list of the user.

    Args:
        folder: All images; the same prefix in two datasets makes two groups.
        split_by: `prefix`, the part of a file's name before its first dash (in SDNET2018 the
            original photograph), or a CSV file with the columns `file` and `group`.

    Returns:
        One list of SHA-256 per group.

    Raises:
        UsageError: If the CSV file cannot be read or lacks a column, or no name has a dash.
        DataError: If the CSV file does not name every image.
    """
    by_prefix = split_by == BY_PREFIX
    group_of = _prefixes(folder) if by_prefix else _read_groups(Path(split_by), folder.images)
    links: dict[str, list[str]] = defaultdict(list)
    for image in folder.images:
        links[group_of[image.file]].append(image.sha256)
    return list(links.values())


def _prefixes(folder: ImageFolder) -> Mapping[str, str]:
    images = folder.images
    parts = {image.file: PurePosixPath(image.file).name.partition("-") for image in images}
    if any(dash for _, dash, _ in parts.values()):
        return {
            file: f"{root_of(folder.roots, file)}/{prefix}"
            for file, (prefix, _, _) in parts.items()
        }
    raise UsageError(
        "no file name has a prefix.",
        f"Expected names such as 7001-12.jpg; received e.g. {images[0].file}.",
        "a CSV file with the columns file and group.",
        parameter="split_by",
    )


def _read_groups(path: Path, images: Sequence[LabelledImage]) -> Mapping[str, str]:
    hint = f"{BY_PREFIX}, or a file with one line per image."
    group_of = read_list(path, "group", parameter="split_by", hint=hint)
    missing = [image.file for image in images if image.file not in group_of]
    if missing:
        raise DataError(
            f"{path} does not name {len(missing)} of {len(images)} images.",
            "Expected every image's file, relative to the data folder, or after the folder's name "
            f"if there are several; missing: {missing[0]}.",
            "add them; an image without near-duplicates has a group of its own.",
            parameter="split_by",
        )
    return group_of
