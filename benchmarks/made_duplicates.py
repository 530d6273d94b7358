"""Near-duplicates of images as datasets have them: rotated, cropped, shifted, relit, re-encoded."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageEnhance

from concrete_study.datasets.duplicates import find_pairs

KINDS = {"same frame": (1.0, 0.0), "cropped to 95 %": (0.95, 0.0), "cropped to 90 %": (0.9, 0.0)}
KINDS |= {"shifted by 5 %": (1.0, 0.05), "shifted by 10 %": (1.0, 0.1)}


def found_near_duplicates(files: Sequence[Path], folder: Path) -> Iterator[tuple[str, float, int]]:
    """Yields, by kind, the share of near-duplicates found and the number of false ones.

    Args:
        files: Unique images.
        folder: Receives the images and their near-duplicates.
    """
    for kind, (crop, shift) in KINDS.items():
        dice = random.Random(kind)
        pairs = {}
        for number, file in enumerate(files):
            for role, image in zip("ab", _pair(Image.open(file), crop, shift, dice), strict=True):
                path = folder / f"{kind}-{number}{role}.jpg"
                image.save(path, quality=dice.randint(60, 95))
                pairs[f"{kind}-{number}{role}"] = path
        found = {(p.first[:-1], p.second[:-1]) for p in find_pairs(pairs)}
        own = sum(one == other for one, other in found)
        yield kind, own / len(files), len(found) - own


def _pair(
    image: Image.Image, crop: float, shift: float, dice: random.Random
) -> tuple[Image.Image, Image.Image]:
    """An image and its near-duplicate; of a shifted pair each has an edge that the other lacks."""
    side = image.width
    window = round(side * crop / (1 + shift))
    away = side - window
    x, y = (dice.randint(0, away) for _ in "xy")
    if shift:
        x, y = dice.choice([(away, y), (x, away)])
    first = image.crop((0, 0, window, window)) if shift else image
    copy = image.crop((x, y, x + window, y + window)).transpose(dice.choice([*Image.Transpose]))
    copy = ImageEnhance.Brightness(copy.convert("RGB")).enhance(dice.uniform(0.85, 1.15))
    copy = ImageEnhance.Contrast(copy).enhance(dice.uniform(0.85, 1.15))
    return tuple(  # type: ignore[return-value]
        part.convert("RGB").resize((side, side), Image.Resampling.BICUBIC) for part in (first, copy)
    )
