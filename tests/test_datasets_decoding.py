import io
import math
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngImageFile

from concrete_study.datasets.decoding import (
    MAX_MEGAPIXELS,
    UnreadableImageError,
    decode_image,
    limit_pixels,
)
from concrete_study.datasets.errors import UsageError

ROOT = Path(__file__).parents[1]
RED, GREEN, BLUE = (200, 30, 30), (30, 180, 40), (20, 40, 210)


def halves(left: tuple[int, ...], right: tuple[int, ...], mode: str = "RGB") -> Image.Image:
    """40 wide, 20 high, one colour a half."""
    image = Image.new(mode, (40, 20), left)
    image.paste(right, (20, 0, 40, 20))
    return image


def saved(image: Image.Image, path: Path, kind: str, **options: Any) -> Path:
    image.save(path, format=kind, **options)
    return path


def raising(error: Exception) -> Callable[[Image.Image], NoReturn]:
    def act(image: Image.Image) -> NoReturn:
        raise error

    return act


def near(pixel: NDArray[np.uint8], colour: tuple[int, ...], tolerance: int) -> bool:
    return bool(np.abs(pixel.astype(int) - colour).max() <= tolerance)


@pytest.mark.parametrize(
    ("kind", "tolerance"),
    [
        *[(kind, 0) for kind in ("PNG", "BMP", "PPM", "TIFF", "GIF", "JPEG2000")],
        *[(kind, 6) for kind in ("JPEG", "WEBP", "AVIF", "HEIF")],
    ],
)
def test_every_format_keeps_colours_and_positions(
    kind: str, tolerance: int, tmp_path: Path
) -> None:
    pixels = decode_image(saved(halves(RED, BLUE), tmp_path / "a.any", kind))
    assert pixels.shape == (20, 40, 3)
    assert pixels.dtype == np.uint8
    assert near(pixels[10, 5], RED, tolerance)
    assert near(pixels[10, 35], BLUE, tolerance)


@pytest.mark.parametrize("size", [1, 32, 227])
def test_resizing_gives_a_square_of_bytes(size: int, tmp_path: Path) -> None:
    pixels = decode_image(saved(halves(RED, BLUE), tmp_path / "a.png", "PNG"), size)
    assert pixels.shape == (size, size, 3)
    assert pixels.dtype == np.uint8


def test_a_cmyk_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    image = halves(RED, BLUE).convert("CMYK")
    pixels = decode_image(saved(image, tmp_path / "a.jpg", "JPEG", quality=95))
    assert near(pixels[10, 5], RED, 8)
    assert near(pixels[10, 35], BLUE, 8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_grayscale_becomes_equal_channels(kind: str, tmp_path: Path) -> None:
    image = Image.new("L", (8, 8), 140)
    assert (decode_image(saved(image, tmp_path / "a.png", kind)) == 140).all()


def test_16_bit_grayscale_is_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    path = saved(Image.fromarray(values), tmp_path / "a.png", "PNG")
    assert decode_image(path)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_16_bit_colour_keeps_its_high_bytes(tmp_path: Path) -> None:
    # Pillow writes no such file: one row of two pixels, by hand.
    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    row = struct.pack(">6H", 0xC812, 0x1E34, 0x1E56, 0, 0x8000, 0xFFFF)
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    path = tmp_path / "a.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" + row))
        + chunk(b"IEND", b"")
    )
    assert decode_image(path).tolist() == [[[0xC8, 0x1E, 0x1E], [0, 0x80, 0xFF]]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_upright_whatever_its_exif_orientation(
    orientation: int, tmp_path: Path
) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = Image.fromarray(np.random.default_rng(1).integers(0, 255, (4, 6, 3), np.uint8))
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(stored, tmp_path / "a.png", "PNG", exif=exif)
    assert np.array_equal(decode_image(path), np.asarray(upright))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
# In a PNG, Pillow raises struct.error for the first, SyntaxError for the next two.
@pytest.mark.parametrize("exif", [b"MM\0*", b"\xff" * 40, b"MM", b""])
def test_an_image_with_damaged_exif_is_decoded(exif: bytes, kind: str, tmp_path: Path) -> None:
    plain = decode_image(saved(halves(RED, BLUE), tmp_path / "a.any", kind))
    path = saved(halves(RED, BLUE), tmp_path / "b.any", kind, exif=b"Exif\0\0" + exif)
    assert np.array_equal(decode_image(path), plain)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_orientation_counts_although_another_tag_is_damaged(kind: str, tmp_path: Path) -> None:
    # ImageLength as the text "abc": ImageOps.exif_transpose rewrites it and raises struct.error.
    text = b"\x01\x01\0\2\0\0\0\4abc\0"
    orientation_6 = b"\x01\x12\0\3\0\0\0\1\0\6\0\0"
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\2" + text + orientation_6 + bytes(4)
    plain = decode_image(saved(halves(RED, BLUE), tmp_path / "a.any", kind))
    path = saved(halves(RED, BLUE), tmp_path / "b.any", kind, exif=exif)
    with Image.open(path) as file, pytest.raises(struct.error):
        ImageOps.exif_transpose(file)
    assert np.array_equal(decode_image(path), np.rot90(plain, -1))


@pytest.mark.parametrize("error", [struct.error, IndexError, KeyError, zlib.error, TypeError])
def test_any_exception_of_a_parser_means_a_damaged_image(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(halves(RED, BLUE), tmp_path / "a.png", "PNG")
    monkeypatch.setattr(PngImageFile, "load", raising(error("odd bytes")))
    with pytest.raises(UnreadableImageError, match=r"damaged: .*odd bytes"):
        decode_image(path)


def test_a_lack_of_memory_does_not_make_an_image_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(halves(RED, BLUE), tmp_path / "a.png", "PNG")
    monkeypatch.setattr(PngImageFile, "load", raising(MemoryError()))
    with pytest.raises(MemoryError):
        decode_image(path)


def test_an_animated_png_gives_its_first_frame(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)
    path = saved(first, tmp_path / "a.png", "PNG", save_all=True, append_images=[second])
    assert near(decode_image(path)[4, 4], RED, 0)


@pytest.mark.parametrize("mode", ["P", "1", "LA", "RGBA", "L"])
def test_every_mode_of_png_becomes_rgb(mode: str, tmp_path: Path) -> None:
    path = saved(Image.new("RGB", (8, 8), "white").convert(mode), tmp_path / "a.png", "PNG")
    assert (decode_image(path) == 255).all()


def test_a_palette_with_transparency_keeps_its_colours(tmp_path: Path) -> None:
    image = halves(RED, GREEN).quantize(4)
    path = saved(image, tmp_path / "a.png", "PNG", transparency=bytes([0, 255, 128, 3]))
    pixels = decode_image(path)
    assert near(pixels[10, 5], RED, 4)
    assert near(pixels[10, 35], GREEN, 4)


def test_an_image_beyond_the_safe_number_of_pixels_is_refused_unread(tmp_path: Path) -> None:
    path = saved(Image.new("1", (18_000, 17_000)), tmp_path / "a.png", "PNG")
    with pytest.raises(UnreadableImageError, match="300 megapixels, too large to decode safely"):
        decode_image(path)
    small = saved(Image.new("1", (1_500, 1_400)), tmp_path / "b.png", "PNG")
    limit_pixels(2)
    try:
        with pytest.raises(UnreadableImageError, match="larger than 2 megapixels"):
            decode_image(small)
    finally:
        limit_pixels(MAX_MEGAPIXELS)
    assert decode_image(small).shape == (1_400, 1_500, 3)
    for wrong in (0, math.nan, math.inf):
        with pytest.raises(UsageError, match="is not valid") as caught:
            limit_pixels(wrong)
        assert caught.value.parameter == "max_megapixels"


def peak_memory(path: Path) -> float:
    """Gigabytes that a process needs for four threads that decode the same image."""
    program = (
        "import re, sys; from concurrent.futures import ThreadPoolExecutor\n"
        "from pathlib import Path\n"
        "from concrete_study.datasets.decoding import decode_image, thumbnail\n"
        "def side(_): return thumbnail(decode_image(Path(sys.argv[1]), 128))\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    for small in pool.map(side, range(4)):\n"
        "        assert 100 < small.mean() < 150\n"
        # Not getrusage, which has the peak of the process that started this one.
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == ""
    return int(result.stdout) / 1e6


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_photographs_of_200_megapixels_are_reduced_within_a_gigabyte(
    kind: str, tmp_path: Path
) -> None:
    image, fast = Image.new("RGB", (16_000, 12_500), (90, 140, 120)), {"compress_level": 1}
    path = saved(image, tmp_path / "a", kind, **fast if kind == "PNG" else {})
    assert decode_image(path).shape == (6_250, 8_000, 3)
    assert peak_memory(path) < 1.1


def test_a_jpeg_of_up_to_50_megapixels_keeps_its_pixels(tmp_path: Path) -> None:
    path = saved(Image.effect_noise((7_071, 7_071), 90), tmp_path / "a.jpg", "JPEG", quality=30)
    with Image.open(path) as file:
        assert np.array_equal(decode_image(path), np.asarray(file.convert("RGB")))


def test_a_large_jpeg_2000_is_reduced(tmp_path: Path) -> None:
    path = saved(Image.new("L", (8_000, 7_000), 120), tmp_path / "a.jp2", "JPEG2000")
    pixels = decode_image(path)
    assert pixels.shape == (3_500, 4_000, 3)
    assert near(pixels[0, 0], (120, 120, 120), 2)


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    path = saved(Image.new("F", (8, 8), 0.5), tmp_path / "a.tif", "TIFF")
    with pytest.raises(UnreadableImageError, match="floating-point pixels"):
        decode_image(path)


def gif() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), RED).save(content, format="GIF")
    return content.getvalue()


def jpeg() -> bytes:
    content = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(content, format="JPEG")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"no image at all\n" * 9, "not an image of a known format"),
        (gif()[:20], "not an image of a known format|damaged"),
        (jpeg()[: len(jpeg()) // 2], "damaged: .*truncated"),
        (jpeg()[:30], "not an image of a known format|damaged"),
    ],
    ids=["empty", "text", "gif", "half", "header"],
)
def test_an_incomplete_image_is_refused_with_a_reason(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=reason):
        decode_image(path)


def test_a_missing_file_is_unreadable_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match=r"^unreadable: No such file or directory$"):
        decode_image(tmp_path / "a.jpg")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # pytest resets our own filter
def test_any_damaged_file_is_decoded_or_refused(tmp_path: Path) -> None:
    dice = random.Random(5)
    exif = Image.Exif()
    exif[0x0112] = 6
    originals = []
    for kind in ("JPEG", "PNG", "BMP"):
        buffer = io.BytesIO()
        halves(RED, BLUE).save(buffer, format=kind, **({} if kind == "BMP" else {"exif": exif}))
        originals.append(buffer.getvalue())
    path = tmp_path / "a.jpg"
    refused = 0
    for _ in range(300):
        content = bytearray(dice.choice(originals))
        for _ in range(dice.randint(1, 4)):
            content[dice.randrange(dice.choice([40, len(content)]))] = dice.randrange(256)
        path.write_bytes(content[: dice.choice([None, dice.randrange(len(content))])])
        try:
            assert decode_image(path, 8).shape == (8, 8, 3)
        except UnreadableImageError as error:
            assert str(error)
            refused += 1
    assert 0 < refused < 300


def test_pillow_prints_no_warnings(tmp_path: Path) -> None:
    image = halves(RED, GREEN).quantize(4)
    saved(image, tmp_path / "a.png", "PNG", transparency=bytes([0, 255, 128, 3]))
    saved(Image.new("1", (9500, 9500)), tmp_path / "b.png", "PNG")  # Pillow warns from 89 MP on
    program = (
        "import sys; from pathlib import Path\n"
        "from concrete_study.datasets.decoding import decode_image\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()): print(decode_image(path).shape)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == ""
    assert result.stdout.splitlines() == ["(20, 40, 3)", "(9500, 9500, 3)"]


def test_real_photographs_decode_to_their_own_size(real_images: Path) -> None:
    for path in sorted((real_images / "Positive").iterdir())[:5]:
        assert decode_image(path).shape == (227, 227, 3)
