"""Similarity of two images under flips, quarter rotations, shifts and crops of up to a tenth.

An image is a grayscale thumbnail. `describe` computes a short vector that is invariant under
the eight flips and quarter rotations, so that near-duplicates are nearest neighbours; `Matcher`
then correlates the middle of one image with windows of the other, first on a coarse grid, then
on a fine one around the best coarse position.

How the constants were chosen, and what they find: docs/decisions/007-near-duplicates.md.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import rfft2
from scipy.ndimage import gaussian_filter

from concrete_study.datasets.decoding import THUMBNAIL_SIDE as SIDE

Pixels: TypeAlias = NDArray[np.float32]

_SPECTRUM_SIDE = 64
_HIGHEST_FREQUENCY = 10  # periods across the image
_COMPRESSION = 0.7  # exponent of the magnitudes; at 1 the few strongest ones dominate
_COARSE, _COARSE_CORE = 32, 26  # leaves a tenth on each side for shifts
_FINE_CORE = 102
_SCALES = (0.90, 0.95, 1.0, 1.05, 1.11)
_FINE_STEPS = 0.0122 * np.arange(-5, 6)  # of a scale's logarithm, up to the next scale
_FINE_REACH = 4  # pixels of the thumbnail around the best coarse position


class Match(NamedTuple):
    """Position of one image's middle on another image, and their correlation there."""

    correlation: float
    symmetry: int
    scale: float
    row: int
    column: int


def describe(thumbnails: NDArray[np.uint8]) -> Pixels:
    """Computes vectors that are invariant under flips and quarter rotations.

    The magnitudes of the spectrum of a windowed image hardly change under a shift, and do not
    change under a rotation by 180 degrees. The other symmetries permute the magnitudes at
    (u, v), (-u, v), (v, u) and (-v, u) as Klein's four-group does; in its characters (sums and
    differences of the four) they only change signs, and absolute values remove these.

    Args:
        thumbnails: Shape (images, SIDE, SIDE), gray in 0..255.

    Returns:
        Unit vectors, shape (images, features).
    """
    x = _shrink(thumbnails.astype(np.float32), _SPECTRUM_SIDE)
    window = np.hanning(_SPECTRUM_SIDE + 2)[1:-1].astype(np.float32)
    window = np.outer(window, window)
    mean = (x * window).sum((1, 2), keepdims=True) / window.sum()
    magnitudes = np.abs(rfft2((x - mean) * window)) ** _COMPRESSION
    u, v = np.array(
        [
            (u, v)
            for u in range(_HIGHEST_FREQUENCY + 1)
            for v in range(u + 1)
            if 0 < u * u + v * v <= _HIGHEST_FREQUENCY**2
        ]
    ).T
    a, b, c, d = (magnitudes[:, i, j] for i, j in ((u, v), (-u, v), (v, u), (-v, u)))
    characters = (a + b + c + d, a + b - c - d, a - b + c - d, a - b - c + d)
    return _unit(np.abs(np.concatenate(characters, axis=1)).astype(np.float32))


class Matcher:
    """Compares pairs of thumbnails.

    Args:
        thumbnails: Each of shape (SIDE, SIDE), gray in 0..255.
    """

    def __init__(self, thumbnails: Sequence[NDArray[np.uint8]]) -> None:
        self._thumbnails = thumbnails
        # Blurred: a shift by half a coarse pixel would decorrelate fine texture.
        self._coarse = np.stack(
            [_shrink(gaussian_filter(t.astype(np.float32), 3.0), _COARSE) for t in thumbnails]
        )
        self._to_core = _sampling(_COARSE, _COARSE_CORE, _SCALES)
        self._fine = lru_cache(512)(self._texture)

    def matches(self, one: int, others: NDArray[np.int64]) -> list[Match]:
        """The best coarse position of image `one`'s middle on each of the others."""
        templates = _templates(_symmetries(self._coarse[one]), self._to_core)
        windows = np.stack([_windows(self._coarse[other], _COARSE_CORE) for other in others])
        scores = templates @ windows.transpose(0, 2, 1)
        side = _COARSE - _COARSE_CORE + 1
        best = scores.reshape(len(others), -1).argmax(1)
        matches = []
        for score, flat in zip(scores, best, strict=True):
            symmetry, scale, row, column = np.unravel_index(flat, (8, len(_SCALES), side, side))
            correlation = float(score.flat[flat])
            matches.append(Match(correlation, int(symmetry), _SCALES[scale], int(row), int(column)))
        return matches

    def confirm(self, one: int, other: int, match: Match) -> float:
        """Correlation of the two textures around a coarse position, in -1..1."""
        to_core = _sampling(SIDE, _FINE_CORE, tuple(match.scale * np.exp(_FINE_STEPS)))
        rotated = _symmetries(self._fine(one))[match.symmetry]
        templates = _templates(rotated[None], to_core)
        # The middle of the core is where the coarse core's middle was, four times finer.
        ratio = SIDE // _COARSE
        start = [ratio * p + (ratio * _COARSE_CORE - _FINE_CORE) // 2 for p in match[-2:]]
        rows, columns = (
            slice(max(s - _FINE_REACH, 0), s + _FINE_REACH + _FINE_CORE) for s in start
        )
        return float((templates @ _windows(self._fine(other)[rows, columns], _FINE_CORE).T).max())

    def _texture(self, number: int) -> Pixels:
        """Band-pass: without lighting gradients and camera noise, which any two images share."""
        x = self._thumbnails[number].astype(np.float32)
        texture: Pixels = gaussian_filter(x, 1.0) - gaussian_filter(x, 4.0)
        return texture


def _shrink(x: Pixels, side: int) -> Pixels:
    factor = x.shape[-1] // side
    shrunk: Pixels = x.reshape(*x.shape[:-2], side, factor, side, factor).mean((-3, -1))
    return shrunk


def _symmetries(x: Pixels) -> Pixels:
    """The eight flips and quarter rotations of an image, shape (8, side, side)."""
    rotated = [np.rot90(x, quarter) for quarter in range(4)]
    return np.stack([*rotated, *(r[:, ::-1] for r in rotated)])


@lru_cache(64)
def _sampling(side: int, core: int, scales: tuple[float, ...]) -> Pixels:
    """Matrices (scales, core, side) that sample the middle of a line, linearly interpolated."""
    matrices = np.zeros((len(scales), core, side), np.float32)
    for matrix, scale in zip(matrices, scales, strict=True):
        at = (np.arange(core) - (core - 1) / 2) * scale + (side - 1) / 2
        at = at.clip(0, side - 1)
        below = at.astype(int).clip(0, side - 2)
        matrix[np.arange(core), below] = 1 - (at - below)
        matrix[np.arange(core), below + 1] += at - below
    return matrices


def _templates(images: Pixels, to_core: Pixels) -> Pixels:
    """The middle of each image at each scale, shape (images * scales, core * core)."""
    rows = np.matmul(to_core[None], images[:, None], dtype=np.float32)
    sampled = np.matmul(rows, to_core.transpose(0, 2, 1)[None], dtype=np.float32)
    return _unit(sampled.reshape(-1, to_core.shape[1] ** 2))


def _windows(x: Pixels, core: int) -> Pixels:
    """Every window of the core's size, shape (windows, core * core)."""
    return _unit(sliding_window_view(x, (core, core)).reshape(-1, core * core))


def _unit(x: Pixels) -> Pixels:
    """Rows of mean 0 and length 1, so that their products are correlations."""
    centred = x - x.mean(-1, keepdims=True)
    unit: Pixels = centred / np.maximum(np.linalg.norm(centred, axis=-1, keepdims=True), 1e-6)
    return unit
