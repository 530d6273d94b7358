"""Synthetic concrete surfaces: texture, cavities, stains, shadows, and the camera.

Lengths are in pixels of a 227-pixel image; `unit` scales them to other sizes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import fft, ndimage

Field = NDArray[np.float64]
"""(size, size) of one value per pixel, or (size, size, 3) of RGB reflectance around 0..1."""

Stroke = tuple[Field, Field]
"""A line to draw: points (n, 2) as x, y in pixels, and the width at each of them (n,)."""

REFERENCE_SIZE = 227  # METU's; all lengths were chosen by eye at this size
SUPERSAMPLING = 3  # a crack tapers to a third of a pixel


def unit(size: int) -> float:
    """Pixels of an image of this size per pixel of a 227-pixel one."""
    return size / REFERENCE_SIZE


def noise(
    random: np.random.Generator, size: int, grain: float, *, stretch: float = 1, angle: float = 0
) -> Field:
    """Smooth random field of zero mean and unit standard deviation.

    Args:
        random: Generator of the white noise that is smoothed.
        size: Height and width in pixels, at least 1.
        grain: Radius of a blotch in pixels, above 0.
        stretch: Aspect ratio of blotches, at least 1.
        angle: Direction of the longer axis in radians.

    Returns:
        float64 array (size, size).
    """
    # A margin of three grains: smoothing by Fourier transform wraps around.
    side = fft.next_fast_len(size + int(3 * grain * stretch), real=True)
    down, across = fft.fftfreq(side)[:, None], fft.rfftfreq(side)[None, :]
    along = across * np.cos(angle) + down * np.sin(angle)
    normal = down * np.cos(angle) - across * np.sin(angle)
    kernel = np.exp(-2 * (np.pi * grain) ** 2 * ((along * stretch) ** 2 + normal**2))
    white = fft.rfft2(random.standard_normal((side, side)))
    smooth: Field = fft.irfft2(white * kernel, s=(side, side))[:size, :size]
    centred: Field = (smooth - smooth.mean()) / smooth.std()
    return centred


def surface(random: np.random.Generator, size: int, *, roughness: float = 1) -> Field:
    """Plain concrete of a random tone, grain and trowel direction, with pores, evenly lit.

    Args:
        random: Generator of all random draws.
        size: Height and width in pixels.
        roughness: Factor of the relief, above 0.

    Returns:
        float64 RGB array (size, size, 3), reflectance mostly in 0.2..0.95.
    """
    scale, angle = unit(size), random.uniform(0, np.pi)
    stretch = random.uniform(1, 2.5)
    relief = np.zeros((size, size))
    for grain in (0.7, 1.6, 4, 10):
        amount = random.lognormal(0, 0.4)
        relief += amount * noise(random, size, grain * scale, stretch=stretch, angle=angle)
    # Lit from one side: each bump has a bright flank and a dark one.
    flank = ndimage.sobel(relief, axis=0) * 0.5 + ndimage.sobel(relief, axis=1)
    roughness *= random.lognormal(np.log(0.011), 0.5)
    blotches = noise(random, size, random.uniform(6, 25) * scale, stretch=stretch, angle=angle)
    brightness = (
        1 + roughness * (relief + flank / flank.std()) + random.uniform(0.005, 0.03) * blotches
    )
    brightness += flecks(random, size)
    # The median filter imitates a phone's noise removal: grain becomes patches with edges.
    brightness = ndimage.median_filter(brightness, size=random.choice([3, 4]))
    tint = noise(random, size, 8 * scale)[..., None] * np.array([0.004, 0, -0.004])
    image: Field = brightness[..., None] * tone(random) + tint
    pores = holes(random, size, count=random.poisson(8), radius=1.2)
    return carve(random, image, pores, darkness=random.uniform(0.2, 0.6))


def flecks(random: np.random.Generator, size: int) -> Field:
    """Sand and cement: sparse small patches that are darker or paler than the surface."""
    dark, pale = (noise(random, size, random.uniform(1.2, 2.5) * unit(size)) for _ in range(2))
    flecked: Field = random.uniform(0, 0.08) * np.clip(pale - random.uniform(1, 2), 0, 1)
    return flecked - random.uniform(0, 0.16) * np.clip(dark - random.uniform(1, 2), 0, 1)


def tone(random: np.random.Generator) -> Field:
    """Mean colour of one surface: light grey to beige, as METU's 174 +- 24 of 255; shape (3,)."""
    grey = np.clip(random.normal(0.69, 0.1), 0.38, 0.86)
    warmth, green = random.normal(0.026, 0.014), random.normal(0.004, 0.006)
    return np.array([grey + warmth, grey + green, grey - warmth])


def rasterise(strokes: Sequence[Stroke], size: int) -> Field:
    """Coverage of each pixel by the strokes.

    Args:
        strokes: Lines of varying width, in pixels; parts outside the image are clipped.
        size: Height and width of the image in pixels.

    Returns:
        float64 array (size, size) in 0..1.
    """
    canvas = Image.new("L", (size * SUPERSAMPLING, size * SUPERSAMPLING))
    pen = ImageDraw.Draw(canvas)
    for points, widths in strokes:
        fine, radii = points * SUPERSAMPLING, widths * SUPERSAMPLING / 2
        for start, end, radius in zip(fine[:-1], fine[1:], radii, strict=False):
            pen.line([*start, *end], fill=255, width=max(1, round(2 * radius)))
        for (x, y), radius in zip(fine, radii, strict=True):
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
    return np.asarray(canvas.reduce(SUPERSAMPLING), dtype=np.float64) / 255


def fray(random: np.random.Generator, mask: Field, amount: float) -> Field:
    """Displaces the edges of a mask by about `amount` pixels, like broken edges."""
    size = len(mask)
    grains = (1.2 * unit(size), 3 * unit(size))
    shift = [amount * sum(noise(random, size, grain) for grain in grains) for _ in range(2)]
    positions = np.indices(mask.shape) + np.array(shift)
    frayed: Field = ndimage.map_coordinates(mask, positions, order=1, mode="nearest")
    return frayed


def carve(random: np.random.Generator, image: Field, mask: Field, *, darkness: float) -> Field:
    """Adds a cavity: dark inside, one broken edge lit, the other in shade.

    Args:
        random: Generator of the light's direction, the edges and the unevenness inside.
        image: RGB array (size, size, 3).
        mask: Coverage by the cavity, (size, size) in 0..1.
        darkness: Share of the light that is absorbed inside, 0..1.

    Returns:
        A new array of the same shape.
    """
    scale = unit(len(mask))
    offset = random.normal(0, 1.5, 2) * scale
    uneven = noise(random, len(mask), 4 * scale)
    broken = np.clip(0.5 + uneven, 0, 1.5) * (1 - mask)
    lit, dim = (ndimage.shift(mask, side, order=1, mode="nearest") for side in (offset, -offset))
    edges = random.uniform(0, 0.2) * lit - random.uniform(0, 0.35) * darkness * dim
    depth = np.clip(mask * (darkness + 0.07 * uneven), 0, 0.97)
    carved: Field = image * ((1 + broken * edges) * (1 - depth))[..., None]
    return carved


def holes(random: np.random.Generator, size: int, *, count: int, radius: float) -> Field:
    """Mask of `count` round holes, frayed, of about this radius."""
    centres = random.uniform(0, size, (count, 1, 2))
    widths = 2 * radius * random.lognormal(0, 0.4, (count, 1)) * unit(size)
    mask = rasterise(list(zip(centres, widths, strict=True)), size)
    return fray(random, mask, 0.3 * radius**0.5 * unit(size))


def soil(random: np.random.Generator, image: Field) -> Field:
    """Adds a few damp or rusty patches with soft outlines."""
    size = len(image)
    field = noise(random, size, random.uniform(10, 30) * unit(size))
    patch = 1 / (1 + np.exp(-(field - random.uniform(0.8, 1.8)) * random.uniform(3, 12)))
    loss = random.uniform(0.04, 0.28) * np.array([0.85, 1, random.uniform(1, 1.3)])
    soiled: Field = image * (1 - patch[..., None] * loss)
    return soiled


def shade(random: np.random.Generator, image: Field) -> Field:
    """Adds the shadow of an object outside the image: one edge, soft or sharp, wavy or straight."""
    size = len(image)
    distance = ramp(random, size) * size / 2 + random.uniform(-0.3, 0.3) * size
    distance += random.uniform(0, 8) * unit(size) * noise(random, size, 30 * unit(size))
    dark = 1 / (1 + np.exp(-np.clip(distance / (random.uniform(0.7, 9) * unit(size)), -50, 50)))
    shaded: Field = image * (1 - random.uniform(0.15, 0.6) * dark[..., None])
    return shaded


def ramp(random: np.random.Generator, size: int) -> Field:
    """A plane that rises from about -1 to 1 across the image in a random direction."""
    angle = random.uniform(0, 2 * np.pi)
    down, across = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    plane: Field = np.cos(angle) * across + np.sin(angle) * down
    return plane


def add_camera_effects(
    random: np.random.Generator, image: Field, *, slope: float = 0.1
) -> NDArray[np.uint8]:
    """Adds uneven light, blur and sensor noise, and converts to 8 bits.

    Args:
        random: Generator of the light's direction, the blur and the noise.
        image: RGB reflectance (size, size, 3).
        slope: Maximum fall-off of the light from the middle to a side, in 0..1.

    Returns:
        uint8 RGB array of the same shape.
    """
    size = len(image)
    light = 1 + random.uniform(0, slope) * ramp(random, size)
    blur = random.uniform(0.2, 0.8) * unit(size)
    sharp = ndimage.gaussian_filter(image * light[..., None], (blur, blur, 0))
    grain = random.uniform(0.002, 0.012) * random.standard_normal((size, size, 1))
    return np.asarray(np.clip((sharp + grain) * 255, 0, 255).round(), dtype=np.uint8)
