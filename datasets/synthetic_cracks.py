"""Synthetic cracks: branching, tapering random walks across an image."""

from collections.abc import Iterator

import numpy as np
from scipy import signal

from concrete_study.datasets.synthetic_concrete import Field, Stroke, carve, fray, rasterise, unit

STEP = 3.0  # pixels between two points of a walk: shorter than any visible bend


def add_crack(
    random: np.random.Generator,
    image: Field,
    *,
    widths: tuple[float, float],
    darkness: tuple[float, float],
) -> Field:
    """Adds a branching crack across the image; `Domain` has the ranges of width and darkness."""
    size = len(image)
    width = np.exp(random.uniform(*np.log(widths))) * unit(size)
    mask = fray(random, rasterise(list(crack(random, size, width)), size), 0.7 * unit(size))
    return carve(random, image, mask, darkness=random.uniform(*darkness))


def crack(random: np.random.Generator, size: int, width: float) -> Iterator[Stroke]:
    """The strokes of a crack: a trunk through the middle of the image, and a few branches."""
    heading = random.uniform(0, 2 * np.pi)
    towards = np.array([np.cos(heading), np.sin(heading)])
    offset = np.array([-towards[1], towards[0]]) * random.uniform(-0.25, 0.25)
    trunk = walk(random, offset, heading, length=1.7 * size, step=STEP * unit(size))
    trunk += size * (0.5 + offset) - trunk[len(trunk) // 2]
    taper = np.linspace(1, random.uniform(0.2, 1), len(trunk))
    yield trunk, width * taper * swelling(random, len(trunk))
    for _ in range(random.poisson(0.8)):
        fork = random.integers(len(trunk) // 5, 4 * len(trunk) // 5)
        turn = random.choice([-1, 1]) * random.uniform(0.4, 1.2)
        length = random.uniform(0.2, 0.7) * size
        branch = walk(random, trunk[fork], heading + turn, length=length, step=STEP * unit(size))
        tip = np.linspace(random.uniform(0.4, 0.8), 0, len(branch))
        yield branch, width * taper[fork] * tip * swelling(random, len(branch))


def walk(
    random: np.random.Generator, start: Field, heading: float, *, length: float, step: float
) -> Field:
    """Points (n, 2) of a random walk whose direction reverts to `heading`."""
    count = int(length / step)
    kicks = random.normal(0, 0.15, count) + random.standard_t(2, count) * 0.13
    stray = signal.lfilter([1], [1, -0.88], kicks * random.uniform(0.8, 1.25))
    angles = heading + np.clip(stray, -1.3, 1.3)
    steps = step * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return start + np.cumsum(steps, axis=0)


def swelling(random: np.random.Generator, count: int) -> Field:
    """Factors around 1 by which the width of a crack varies along it."""
    rough = random.standard_normal(count + 8)
    smooth: Field = np.convolve(rough, np.ones(9) / 3, mode="valid")
    factors: Field = np.exp(0.28 * smooth)
    return factors
