"""Near-duplicates as data sets have them: rotated, cropped, shifted, brightened, re-encoded."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from concrete_study.datasets.decoding import decode_image
from concrete_study.datasets.duplicates import find_pairs

KINDS = {"same frame": (1.0, 0.0), "cropped to 95 %": (0.95, 0.0), "cropped to 90 %": (0.9, 0.0)}
KINDS |= {"shifted by 5 %": (1.0, 0.05), "shifted by 10 %": (1.0, 0.1)}


def recall_of_duplicates(files: Sequence[Path], folder: Path) -> Iterator[tuple[str, float, int]]:
    """Yields, by kind of near-duplicate, the recall and the number of false positives.

    Args:
        files: Unique photographs.
        folder: For the photographs and their near-duplicates.
    """
    for kind, (crop, shift) in KINDS.items():
        rng = random.Random(kind)
        pairs = {}
        for number, file in enumerate(files):
            for role, image in zip("ab", _pair(Image.open(file), crop, shift, rng), strict=True):
                path = folder / f"{kind}-{number}{role}.jpg"
                image.save(path, quality=rng.randint(60, 95))
                pairs[f"{kind}-{number}{role}"] = path
        found = {(p.first[:-1], p.second[:-1]) for p in find_pairs(pairs)}
        own = sum(one == other for one, other in found)
        yield kind, own / len(files), len(found) - own


def _pair(
    image: Image.Image, crop: float, shift: float, rng: random.Random
) -> tuple[Image.Image, Image.Image]:
    """An image and its near-duplicate; of a shifted pair each has an edge that the other lacks."""
    side = image.width
    window = round(side * crop / (1 + shift))
    away = side - window
    x, y = (rng.randint(0, away) for _ in "xy")
    if shift:
        x, y = rng.choice([(away, y), (x, away)])
    first = image.crop((0, 0, window, window)) if shift else image
    copy = image.crop((x, y, x + window, y + window)).transpose(rng.choice([*Image.Transpose]))
    copy = ImageEnhance.Brightness(copy.convert("RGB")).enhance(rng.uniform(0.85, 1.15))
    copy = ImageEnhance.Contrast(copy).enhance(rng.uniform(0.85, 1.15))
    return tuple(  # type: ignore[return-value]
        part.convert("RGB").resize((side, side), Image.Resampling.BICUBIC) for part in (first, copy)
    )


def make_variations(
    files: Sequence[Path], count: int, folder: Path, *, side: int | None = None
) -> dict[str, Path]:
    """Images that look like concrete and are no near-duplicates; of `side` pixels."""
    rng = np.random.default_rng(1)
    made = {}
    for number in range(count):
        parts = [_quarter(files[k], rng) for k in rng.choice(len(files), 2, replace=False)]
        share = rng.uniform(0.35, 0.65)
        mixed = (share * parts[0] + (1 - share) * parts[1]).round().astype(np.uint8)
        path, image = folder / f"{number:06}.jpg", Image.fromarray(mixed)
        (image.resize((side, side)) if side else image).save(path, quality=90)
        made[f"{number:064x}"] = path
    return made


def make_duplicates(files: Sequence[Path], count: int, folder: Path) -> dict[str, Path]:
    """Near-duplicates of randomly chosen files, each of one of the KINDS."""
    rng = random.Random(1)
    made = {}
    for number in range(count):
        crop, shift = rng.choice([*KINDS.values()])
        path = folder / f"duplicate-{number:06}.jpg"
        _pair(Image.open(rng.choice(files)), crop, shift, rng)[1].save(
            path, quality=rng.randint(60, 95)
        )
        made[f"d{number:063x}"] = path
    return made


def _quarter(path: Path, rng: np.random.Generator) -> NDArray[np.float64]:
    pixels = decode_image(path).astype(np.float64)
    side = len(pixels) // 2
    row, column = rng.integers(0, len(pixels) - side, 2)
    part: NDArray[np.float64] = pixels[row : row + side, column : column + side]
    rotated = np.rot90(part, int(rng.integers(4)))
    return np.fliplr(rotated) if rng.random() < 0.5 else rotated
