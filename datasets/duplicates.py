"""Near-duplicate detection: images that were flipped, rotated, re-encoded, shifted or cropped.

Nearest neighbours by description are compared pixel by pixel, so the cost grows with the
number of images times the number of neighbours. Results are kept in the user's cache, by content.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from concrete_study.datasets.cache import read_cached, write_cached
from concrete_study.datasets.decoding import (
    THUMBNAIL_SIDE,
    UnreadableImageError,
    decode_image,
    thumbnail,
)
from concrete_study.datasets.errors import DataError
from concrete_study.datasets.files import cache_folder
from concrete_study.datasets.progress import SILENT, Progress
from concrete_study.datasets.similarity import Matcher, describe

# Raise when the same images would give other pairs.
DUPLICATES_VERSION = 1
NEIGHBOURS = 20
FARTHEST = 0.45  # between descriptions; the farthest of 1,000 made near-duplicates was at 0.45
LEAST_COARSE = 0.87
# Of textures; unrelated METU images reach 0.83, near-duplicates begin at 0.90.
LEAST_CORRELATION = 0.87
_CHUNK = 512  # thumbnails described at once


class Pair(NamedTuple):
    """Two near-duplicates of different content, by their SHA-256."""

    first: str
    second: str
    correlation: float  # of the textures, in 0..1


def find_pairs(
    files: Mapping[str, Path],
    thumbnails: Mapping[str, NDArray[np.uint8]] = MappingProxyType({}),
    *,
    progress: Progress = SILENT,
) -> list[Pair]:
    """Finds near-duplicates among images of different content.

    Args:
        files: One file of each content, by SHA-256.
        thumbnails: Those that exist, by SHA-256; the other files are decoded.
        progress: Receives counts of the images compared; none on a cache hit.

    Returns:
        Pairs sorted by content, from the cache if these images were compared before.

    Raises:
        DataError: If an image can no longer be read.
    """
    digests = sorted(files)
    key = hashlib.sha256("\n".join([str(DUPLICATES_VERSION), *digests]).encode()).hexdigest()
    stored = cache_folder() / "duplicates" / f"{key[:32]}.json"
    if (known := read_cached(stored, list[Pair])) is not None:
        return known
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        read = (d for d in digests if d not in thumbnails)
        found = {**thumbnails, **dict(pool.map(lambda d: (d, _read_thumbnail(files[d])), read))}
    # The products are small: within one, two threads mostly wait for each other.
    with threadpool_limits(1, user_api="blas"):
        pairs = [
            Pair(digests[one], digests[other], round(correlation, 4))
            for one, other, correlation in _compare([found[digest] for digest in digests], progress)
        ]
    write_cached(stored, sorted(pairs))
    return sorted(pairs)


def _read_thumbnail(file: Path) -> NDArray[np.uint8]:
    try:
        return thumbnail(decode_image(file, THUMBNAIL_SIDE))
    except UnreadableImageError as error:
        raise DataError(f"{file} can no longer be read: {error}.") from error


def _compare(
    thumbnails: Sequence[NDArray[np.uint8]], progress: Progress
) -> Iterator[tuple[int, int, float]]:
    """Pairs of indices, the smaller first, and the correlation of their textures."""
    if len(thumbnails) < 2:
        return
    near = _neighbours(thumbnails, progress)
    matcher = Matcher(thumbnails)

    def compare(one: int) -> list[tuple[int, int, float]]:
        # Of two mutual neighbours the earlier one has the pair.
        others = sorted(o for o in near[one] if o > one or (o != one and one not in near[o]))
        return [
            (min(one, other), max(one, other), correlation)
            for other, match in matcher.matches(one, others, LEAST_COARSE)
            if (correlation := matcher.confirm(one, other, match)) >= LEAST_CORRELATION
        ]

    with (
        progress.counting("finding near-duplicates", len(thumbnails)) as done,
        ThreadPoolExecutor(max_workers=os.cpu_count()) as pool,
    ):
        for pairs in pool.map(compare, range(len(thumbnails))):
            yield from pairs
            done(1)


def _neighbours(thumbnails: Sequence[NDArray[np.uint8]], progress: Progress) -> list[set[int]]:
    """For each image those of similar description."""
    near: list[set[int]] = []
    starts = range(0, len(thumbnails), _CHUNK)
    with progress.counting("comparing descriptions", len(thumbnails)) as done:
        described = np.concatenate([describe(np.stack(thumbnails[s : s + _CHUNK])) for s in starts])
        count = min(NEIGHBOURS + 1, len(thumbnails))
        index = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(described)
        for start in starts:
            found = zip(*index.kneighbors(described[start : start + _CHUNK]), strict=True)
            near += [set(row[far <= FARTHEST].tolist()) for far, row in found]
            done(len(near) - start)
    return near
