"""Shifts change an image, keep its shape, and are the same on every machine and every time."""

import numpy as np
import pytest

from concrete_study.datasets.shifts import SHIFTS, apply_shift

DIGESTS = ("0" * 64, "f" * 64)


def pixels(size: int = 65) -> np.ndarray:
    """A dark line on a grey surface."""
    grey = np.random.default_rng(1).integers(120, 160, (size, size, 3)).astype(np.uint8)
    grey[size // 2] = 30
    return grey


@pytest.mark.parametrize("name", SHIFTS)
def test_a_shift_keeps_shape_and_type_and_changes_the_image(name: str) -> None:
    image = pixels()
    before = image.copy()
    shifted = apply_shift(name, image, DIGESTS[0])
    assert shifted.shape == image.shape
    assert shifted.dtype == np.uint8
    np.testing.assert_array_equal(image, before)
    assert np.abs(shifted.astype(int) - image).mean() > 2
    np.testing.assert_array_equal(shifted, apply_shift(name, image, DIGESTS[0]))
    assert name in ("noise", "brightness") or np.array_equal(
        shifted, apply_shift(name, image, DIGESTS[1])
    )


def test_brightness_goes_up_for_some_images_and_down_for_others() -> None:
    means = [
        apply_shift("brightness", pixels(), f"{number:064x}"[::-1]).mean() for number in range(16)
    ]
    assert min(means) < pixels().mean() - 40
    assert max(means) > pixels().mean() + 40


def test_scale_shows_the_whole_image_at_half_its_size() -> None:
    shifted = apply_shift("scale", pixels(64), DIGESTS[0])
    dark = np.flatnonzero(shifted.mean((1, 2)) < 110)
    assert dark.tolist() == [32, 63]  # the line, and its mirror image at the edge
