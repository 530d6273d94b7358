import hashlib
import math
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from concrete_study.datasets.augmentation import ROTATION, apply_transforms, view_transforms

SIZE = 17


def digests(count: int) -> list[str]:
    return [hashlib.sha256(str(n).encode()).hexdigest() for n in range(count)]


def random_images(count: int, size: int = SIZE) -> NDArray[np.uint8]:
    return np.random.default_rng(8).integers(0, 256, (count, size, size, 3), np.uint8)


def applied(images: NDArray[np.uint8], transforms: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = apply_transforms(images, transforms).numpy()
    return result


def rotations(transforms: NDArray[np.float32]) -> NDArray[np.float64]:
    """The 2x2 part of each transform."""
    return transforms[:, [0, 1, 3, 4]].reshape(-1, 2, 2).astype(np.float64)


def angle_of(matrix: NDArray[np.float64], flips: tuple[int, int]) -> float:
    rotation = np.diag(flips) @ matrix
    return math.degrees(math.atan2(rotation[1, 0], rotation[0, 0]))


def test_view_0_is_the_unaugmented_image_bit_for_bit() -> None:
    images = random_images(4)
    assert np.array_equal(applied(images, view_transforms(digests(4), 0, SIZE)), images)


def test_a_view_depends_only_on_the_image_and_the_number() -> None:
    images, names = random_images(6), digests(6)
    together = applied(images, view_transforms(names, 3, SIZE))
    for position in (5, 0, 3):
        alone = view_transforms([names[position]], 3, SIZE)
        assert np.array_equal(
            applied(images[position : position + 1], alone)[0], together[position]
        )
    assert not np.array_equal(view_transforms(names, 3, SIZE), view_transforms(names, 4, SIZE))
    assert len({row.tobytes() for row in view_transforms(names, 3, SIZE)}) == 6


def test_views_never_change() -> None:
    # Stored features are found by AUGMENTATION: raise it with this test's numbers.
    first = view_transforms(["00" * 32, "7f" * 32, "f3" * 32], 1, 224)[:, :6]
    expected = [
        [0.798, -0.603, 89.762, 0.603, 0.798, -44.679],
        [0.548, -0.836, 143.636, -0.836, -0.548, 265.875],
        [0.993, -0.121, 14.346, -0.121, -0.993, 235.700],
    ]
    assert np.allclose(first, expected, atol=1e-3)


def test_every_view_is_a_flip_and_a_rotation_by_at_most_108_degrees() -> None:
    transforms = view_transforms(digests(2000), 1, SIZE)
    matrices = rotations(transforms)
    assert np.allclose(matrices @ matrices.transpose(0, 2, 1), np.eye(2), atol=1e-5)
    centre = np.full(2, (SIZE - 1) / 2)
    shifts = transforms[:, [2, 5]]
    assert np.allclose(matrices @ centre + shifts, centre, atol=1e-4)
    assert np.array_equal(transforms[:, 6:], np.zeros((2000, 2)))
    # Flipping both ways and turning by a is turning by a + 180: some reading fits within 108.
    limit = math.degrees(ROTATION * 2 * math.pi) + 1e-3
    for matrix in matrices:
        handed = np.linalg.det(matrix) > 0
        readings = [(1, 1), (-1, -1)] if handed else [(-1, 1), (1, -1)]
        assert any(abs(angle_of(matrix, flips)) <= limit for flips in readings)


def test_flips_have_probability_one_half_and_angles_are_uniform() -> None:
    matrices = rotations(view_transforms(digests(4000), 2, SIZE))
    mirrored = (np.linalg.det(matrices) < 0).mean()
    assert abs(mirrored - 0.5) < 0.03
    # Not mirrored: half unflipped (within 108 degrees), half flipped twice (around 180).
    upright = [m for m in matrices if np.linalg.det(m) > 0]
    angles = np.array([angle_of(m, (1, 1)) for m in upright])
    only_twice = (np.abs(angles) > 108).mean()  # 72 of 216 degrees of one half
    assert abs(only_twice - 0.5 * 72 / 108) < 0.03
    sectors = Counter((angles // 45).astype(int).tolist())
    assert len(sectors) == 8


@pytest.mark.parametrize("view", [1, 2, 7])
def test_a_constant_image_stays_constant(view: int) -> None:
    images = np.full((8, SIZE, SIZE, 3), 173, np.uint8)
    assert np.allclose(applied(images, view_transforms(digests(8), view, SIZE)), 173, atol=1e-3)


@pytest.mark.parametrize("view", [1, 5])
def test_pixels_stay_within_the_range_and_the_mean_about_the_same(view: int) -> None:
    images = random_images(16, 64)
    result = applied(images, view_transforms(digests(16), view, 64))
    assert result.dtype == np.float32
    assert result.min() >= 0
    assert result.max() <= 255
    assert abs(result.mean() - images.mean()) < 3


@pytest.mark.parametrize(
    ("matrix", "position"),
    [
        ((1, 0, 0, 1), (2, 3)),
        ((-1, 0, 0, 1), (2, SIZE - 1 - 3)),  # left-right
        ((1, 0, 0, -1), (SIZE - 1 - 2, 3)),  # up-down
        ((0, -1, 1, 0), (SIZE - 1 - 3, 2)),  # a quarter turn
    ],
)
def test_a_marked_pixel_moves_as_the_transform_maps_it(
    matrix: tuple[int, int, int, int], position: tuple[int, int]
) -> None:
    image = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    image[0, 2, 3] = 255
    a, b, c, d = matrix
    half = (SIZE - 1) / 2
    shift = half - (a + b) * half, half - (c + d) * half
    transform = np.array([[a, b, shift[0], c, d, shift[1], 0, 0]], np.float32)
    result = applied(image, transform)[0, :, :, 0]
    assert divmod(int(result.argmax()), SIZE) == position
    assert result.sum() == pytest.approx(255, abs=1e-2)
