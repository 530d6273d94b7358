"""What a data check measures of an image; apart from the audit, as stored records import it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Measure: TypeAlias = Literal["brightness", "sharpness"]


@dataclass(frozen=True)
class Measured:
    """One image's size, mode, brightness and sharpness."""

    file: str
    label: str
    width: int  # pixels, as stored
    height: int
    mode: str  # Pillow's: RGB, L, CMYK, I;16, ...
    brightness: float  # mean luminance, 0..255
    sharpness: float  # variance of the Laplacian of the luminance, at least 0


@dataclass(frozen=True)
class Outlier:
    """An image whose brightness or sharpness is unusual for its class."""

    file: str
    measure: Measure
    value: float
    median: float  # of the class
    score: float  # modified z-score, beyond OUTLIER_SCORE either way
