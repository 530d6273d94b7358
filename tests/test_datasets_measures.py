import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from concrete_study.datasets.errors import DataError
from concrete_study.datasets.folders import LabelledImage
from concrete_study.datasets.measures import Measured, jpeg_quality, measure_images


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(256, size=shape, dtype=np.uint8)


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 95, 100])
@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 3)])
def test_the_quality_with_which_a_jpeg_was_saved_is_measured(
    quality: int, shape: tuple[int, ...]
) -> None:
    file = io.BytesIO()
    Image.fromarray(noise(*shape)).save(file, "JPEG", quality=quality)
    assert jpeg_quality(Image.open(file)) == quality


def test_other_formats_have_no_jpeg_quality() -> None:
    file = io.BytesIO()
    Image.fromarray(noise(8, 8)).save(file, "PNG")
    assert jpeg_quality(Image.open(file)) is None


def measured(folder: Path, image: Image.Image) -> Measured:
    image.save(folder / "1.png")
    (found,) = measure_images({"": folder}, [LabelledImage("1.png", "a", "0")])
    return found


def test_measures_are_those_of_the_pixels(tmp_path: Path) -> None:
    gray = measured(tmp_path, Image.new("L", (300, 200), 90))
    assert (gray.width, gray.height, gray.mode, gray.label) == (300, 200, "L", "a")
    found = gray.brightness, gray.contrast, gray.sharpness, gray.saturation
    assert found == pytest.approx((90, 0, 0, 0), abs=1e-4)
    assert gray.bytes == (tmp_path / "1.png").stat().st_size
    red = measured(tmp_path, Image.new("RGB", (9, 9), (200, 100, 100)))
    assert red.saturation == pytest.approx(0.5)
    rough = measured(tmp_path, Image.fromarray(noise(256, 256)))
    assert rough.contrast == pytest.approx(noise(256, 256).std(), abs=0.01)
    assert rough.sharpness > 1000


def test_16_bit_images_are_measured_as_they_are_decoded(tmp_path: Path) -> None:
    deep = measured(tmp_path, Image.fromarray(np.full((20, 20), 90 * 257, np.uint16)))
    assert deep.mode == "I;16"
    assert deep.brightness == pytest.approx(90, abs=0.01)


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_an_image_that_can_no_longer_be_read_is_named(
    content: bytes | None, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "1.png").write_bytes(content)
    with pytest.raises(DataError, match=r"1\.png can no longer be read"):
        measure_images({"": tmp_path}, [LabelledImage("1.png", "a", "0")])
