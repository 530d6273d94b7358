"""Similarity of two images under flips, quarter rotations, shifts and crops of up to a tenth.

An image is a grayscale thumbnail. `describe` computes a short vector that is invariant under
the eight flips and quarter rotations, so that near-duplicates are nearest neighbours; `Matcher`
then correlates the middle of one image with windows of the other, first on a coarse grid, then
on a fine one around the best coarse position.

How the constants were chosen, and what they find: docs/decisions/007-near-duplicates.md.
"""

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import dct, rfft2
from scipy.ndimage import gaussian_filter1d

from concrete_study.datasets.decoding import THUMBNAIL_SIDE as SIDE

Pixels: TypeAlias = NDArray[np.float32]

_SPECTRUM_SIDE = 64
_HIGHEST_FREQUENCY = 10  # periods across the image
_COMPRESSION = 0.7  # exponent of the magnitudes; at 1 the few strongest ones dominate
_COARSE, _COARSE_CORE = 32, 26  # leaves a tenth on each side for shifts
_SHIFTS = _COARSE - _COARSE_CORE + 1  # of the core along one axis
_COSINES = dct(np.eye(_COARSE_CORE), axis=0, norm="ortho")[:7]
_WAVES: Pixels = np.kron(_COSINES, _COSINES)[1:].astype(np.float32)  # orthonormal
_ROUNDING = 1e-4
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
    """Compares pairs of thumbnails; several threads may do so at the same time.

    Args:
        thumbnails: Each of shape (SIDE, SIDE), gray in 0..255.
    """

    def __init__(self, thumbnails: Sequence[NDArray[np.uint8]]) -> None:
        self._thumbnails = thumbnails
        self._coarse = np.empty((len(thumbnails), _COARSE, _COARSE), np.float32)
        self._sketches = np.empty((len(thumbnails), _SHIFTS**2, len(_WAVES) + 1), np.float32)
        for number, image in enumerate(thumbnails):
            self._coarse[number] = _blur_and_shrink() @ _centred(image) @ _blur_and_shrink().T
            self._sketches[number] = _sketch(_windows(self._coarse[number], _COARSE_CORE))
        self._texture = lru_cache(512)(self._compute_texture)
        self._fine = lru_cache(64)(self._compute_fine)

    def matches(self, one: int, others: Sequence[int], least: float) -> Iterator[tuple[int, Match]]:
        """The best coarse position of image `one`'s middle on each of the others.

        Only those with a correlation of at least `least`; for the rest, its upper bound from
        sketches is mostly enough.
        """
        templates = _templates(self._coarse[one], _sampling(_COARSE, _COARSE_CORE, _SCALES))
        templates = _symmetries(templates).reshape(-1, _COARSE_CORE**2)
        sketches = _sketch(templates)
        for other in others:
            if (sketches @ self._sketches[other].T).max() < least - _ROUNDING:
                continue
            scores = templates @ _windows(self._coarse[other], _COARSE_CORE).T
            if (correlation := float(scores.max())) >= least:
                shape = 8, len(_SCALES), _SHIFTS, _SHIFTS
                symmetry, scale, row, column = map(int, np.unravel_index(scores.argmax(), shape))
                yield other, Match(correlation, symmetry, _SCALES[scale], row, column)

    def confirm(self, one: int, other: int, match: Match) -> float:
        """Correlation of the two textures around a coarse position, in -1..1."""
        # The middle of the core is where the coarse core's middle was, four times finer.
        ratio = SIDE // _COARSE
        start = [ratio * p + (ratio * _COARSE_CORE - _FINE_CORE) // 2 for p in match[-2:]]
        rows, columns = (
            slice(max(s - _FINE_REACH, 0), s + _FINE_REACH + _FINE_CORE) for s in start
        )
        area = _undo_symmetry(self._texture(other)[rows, columns], match.symmetry)
        return _best_correlation(self._fine(one, match.scale), area)

    def _compute_fine(self, number: int, scale: float) -> Pixels:
        to_core = _sampling(SIDE, _FINE_CORE, tuple(scale * np.exp(_FINE_STEPS)))
        return _templates(self._texture(number), to_core)

    def _compute_texture(self, number: int) -> Pixels:
        """Band-pass: without lighting gradients and camera noise, which any two images share."""
        x = _centred(self._thumbnails[number])
        fine, rough = _gaussian(1.0), _gaussian(4.0)
        texture = fine @ x @ fine.T - rough @ x @ rough.T
        return texture.astype(np.float32, copy=False)


def _centred(x: NDArray[np.uint8]) -> Pixels:
    """Minus its mean: a uniform image stays exactly uniform when it is filtered."""
    centred: Pixels = x - x.mean(dtype=np.float32)
    return centred


@cache
def _gaussian(sigma: float) -> Pixels:
    """A Gaussian filter along one axis as a matrix: a product is faster than a convolution."""
    matrix: Pixels = gaussian_filter1d(np.eye(SIDE), sigma, axis=0).astype(np.float32)
    return matrix


@cache
def _blur_and_shrink() -> Pixels:
    """Blurred: a shift by half a coarse pixel would decorrelate fine texture."""
    matrix: Pixels = _gaussian(3.0).reshape(_COARSE, -1, SIDE).mean(1)
    return matrix


def _shrink(x: Pixels, side: int) -> Pixels:
    factor = x.shape[-1] // side
    shrunk: Pixels = x.reshape(*x.shape[:-2], side, factor, side, factor).mean((-3, -1))
    return shrunk


def _symmetries(x: Pixels) -> Pixels:
    """The eight flips and quarter rotations of images, shape (8, ..., side, side)."""
    rotated = [np.rot90(x, quarter, (-2, -1)) for quarter in range(4)]
    return np.stack([*rotated, *(r[..., ::-1] for r in rotated)])


def _undo_symmetry(x: Pixels, number: int) -> Pixels:
    """The inverse of one of the eight symmetries."""
    return np.rot90(x[:, ::-1] if number >= 4 else x, -(number % 4))


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


def _templates(image: Pixels, to_core: Pixels) -> Pixels:
    """The middle of an image at each scale, shape (scales, core, core)."""
    scales, core, side = to_core.shape
    rows = (to_core.reshape(-1, side) @ image).reshape(scales, core, side)
    sampled = np.matmul(rows, to_core.transpose(0, 2, 1))
    return _unit(sampled.reshape(scales, -1)).reshape(scales, core, core)


def _windows(x: Pixels, core: int) -> Pixels:
    """Every window of the core's size, shape (windows, core * core)."""
    return _unit(sliding_window_view(x, (core, core)).reshape(-1, core * core))


def _sketch(unit: Pixels) -> Pixels:
    """Low frequencies and the length of the rest.

    The product of two sketches is an upper bound of the correlation, a tenth of its work.
    """
    low = unit @ _WAVES.T
    rest = np.sqrt(np.maximum(1 - (low * low).sum(1, keepdims=True), 0))
    return np.concatenate([low, rest], axis=1)


def _best_correlation(templates: Pixels, area: Pixels) -> float:
    """The highest correlation of unit templates with all windows of an area.

    Windows overlap by nearly everything: one product by row, without a copy of each window.
    """
    core = templates.shape[1]
    flat = templates.reshape(-1, core * core)
    strips = np.ascontiguousarray(sliding_window_view(area, core, axis=1).transpose(1, 0, 2))
    sums, squares = (
        sliding_window_view(x.sum(2, dtype=np.float64), core, axis=1).sum(2)
        for x in (strips, strips * strips)
    )
    lengths = np.sqrt(np.maximum(squares - sums**2 / core**2, 1e-12))  # (columns, rows)
    return max(
        float(
            (flat @ strips[:, row : row + core].reshape(len(strips), -1).T / lengths[:, row]).max()
        )
        for row in range(lengths.shape[1])
    )


def _unit(x: Pixels) -> Pixels:
    """Rows of mean 0 and length 1, so that their products are correlations."""
    centred = x - x.mean(-1, keepdims=True)
    unit: Pixels = centred / np.maximum(np.linalg.norm(centred, axis=-1, keepdims=True), 1e-6)
    return unit
