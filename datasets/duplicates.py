"""Which images are copies of each other: flipped, turned, encoded anew, shifted or cropped.

Neighbours of similar description are compared pixel by pixel, so the cost grows with the
number of images times the neighbours looked at. What was found is kept in the user's cache
under the images' content.
"""

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from concrete_study.datasets.decoding import UnreadableImageError, decode_image, luminance
from concrete_study.datasets.errors import DataError
from concrete_study.datasets.files import cache_folder, write_json
from concrete_study.datasets.similarity import SIDE, Matcher, describe

# Raise when other pairs would be found in the same images.
DUPLICATES_VERSION = 1
NEIGHBOURS = 20
FARTHEST = 0.45  # between descriptions; the farthest copy of 1,000 made ones was at 0.45
LEAST_COARSE = 0.87
LEAST_CORRELATION = 0.87  # of textures; different METU pictures reach 0.83, copies begin at 0.90
_CHUNK = 512  # thumbnails described at once


class Pair(NamedTuple):
    """Two different files that show the same picture, by their SHA-256."""

    first: str
    second: str
    correlation: float  # of the textures, in 0..1


def find_pairs(
    files: Mapping[str, Path], *, on_image: Callable[[], None] = lambda: None
) -> list[Pair]:
    """Finds near-duplicates among images of different content.

    Args:
        files: One file of each content, by SHA-256.
        on_image: Called after each image that was compared; never if they all were before.

    Returns:
        Pairs sorted by content, from the cache if these images were compared before.

    Raises:
        DataError: If an image can no longer be read.
    """
    digests = sorted(files)
    key = hashlib.sha256("\n".join([str(DUPLICATES_VERSION), *digests]).encode()).hexdigest()
    stored = cache_folder() / "duplicates" / f"{key[:32]}.json"
    if stored.exists():
        return [Pair(*pair) for pair in json.loads(stored.read_text())["pairs"]]
    thumbnails = _read_thumbnails([files[digest] for digest in digests])
    # One thread: the products are small, and on a busy machine two wait for each other.
    with threadpool_limits(1):
        pairs = [
            Pair(digests[one], digests[other], round(correlation, 4))
            for one, other, correlation in _compare(thumbnails, on_image)
        ]
    write_json(stored, {"pairs": sorted(pairs)})
    return sorted(pairs)


def _read_thumbnails(files: Sequence[Path]) -> NDArray[np.uint8]:
    thumbnails = np.empty((len(files), SIDE, SIDE), np.uint8)

    def read(number: int) -> None:
        try:
            pixels = decode_image(files[number], SIDE)
        except UnreadableImageError as error:
            raise DataError(f"{files[number]} can no longer be read: {error}.") from error
        thumbnails[number] = luminance(pixels).round()

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        deque(pool.map(read, range(len(files))), maxlen=0)  # asks for errors, keeps nothing
    return thumbnails


def _compare(
    thumbnails: NDArray[np.uint8], on_image: Callable[[], None]
) -> Iterator[tuple[int, int, float]]:
    """Pairs of numbers, the smaller first, and the correlation of their textures."""
    if len(thumbnails) < 2:
        return
    matcher = Matcher(thumbnails)
    for one, others in enumerate(_neighbours(thumbnails)):
        if len(others):
            for other, place in zip(others, matcher.places(one, others), strict=True):
                if place.correlation < LEAST_COARSE:
                    continue
                correlation = matcher.confirm(one, int(other), place)
                if correlation >= LEAST_CORRELATION:
                    yield min(one, int(other)), max(one, int(other)), correlation
        on_image()


def _neighbours(thumbnails: NDArray[np.uint8]) -> Iterator[NDArray[np.int64]]:
    """For each picture those of similar description, every pair once."""
    starts = range(0, len(thumbnails), _CHUNK)
    described = np.concatenate([describe(thumbnails[s : s + _CHUNK]) for s in starts])
    count = min(NEIGHBOURS + 1, len(thumbnails))
    index = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(described)
    distances, neighbours = index.kneighbors(described)
    near = [set(row[far <= FARTHEST]) for row, far in zip(neighbours, distances, strict=True)]
    for one, others in enumerate(near):
        # The later of two that name each other leaves the pair to the earlier.
        pairs = sorted(o for o in others if o > one or (o != one and one not in near[o]))
        yield np.array(pairs, np.int64)
