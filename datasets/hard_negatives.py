"""Hard negatives of the synthetic images: joints, hairs, scratches and pits, and their rates."""

import numpy as np

from concrete_study.datasets.synthetic_concrete import (
    Field,
    carve,
    fray,
    holes,
    rasterise,
    shade,
    soil,
    unit,
)


def line(random: np.random.Generator, size: int, *, bend: float) -> Field:
    """Points (40, 2) of a smooth line through the image, straight if `bend` is 0."""
    angle = random.uniform(0, np.pi)
    towards = np.array([np.cos(angle), np.sin(angle)]) * size
    across = np.array([-towards[1], towards[0]])
    along = np.linspace(-0.8, 0.8, 40)[:, None]
    offset = random.uniform(-0.3, 0.3)
    curve = bend * random.uniform(-1, 1) * (along**2 - 0.2) + bend * random.normal() * along**3
    points: Field = size / 2 + along * towards + (offset + curve) * across
    return points


def add_joint(random: np.random.Generator, image: Field) -> Field:
    """One straight gap between two concrete slabs, or two that meet at a right angle."""
    size = len(image)
    width = np.exp(random.uniform(np.log(3), np.log(9))) * unit(size)
    points = line(random, size, bend=0)
    strokes = [(points, np.full(len(points), width))]
    if random.random() < 0.2:
        rotated = (points - points[20]) @ np.array([[0, 1], [-1, 0]]) + points[20]
        strokes.append((rotated[20:], np.full(20, width)))
    mask = fray(random, rasterise(strokes, size), random.uniform(0, 0.25) * unit(size))
    return carve(random, image, mask, darkness=random.uniform(0.45, 0.85))


def add_hair(random: np.random.Generator, image: Field) -> Field:
    """One to three hairs or fibres: thin, smooth, bent and equally wide throughout."""
    size = len(image)
    strokes = []
    for _ in range(random.integers(1, 4)):
        points = line(random, size, bend=0.6)[random.integers(0, 14) : random.integers(26, 40)]
        strokes.append((points, np.full(len(points), random.uniform(1, 3) * unit(size))))
    loss = random.uniform(0.4, 0.85) * rasterise(strokes, size)
    return image * (1 - loss[..., None])


def add_scratches(random: np.random.Generator, image: Field) -> Field:
    """A bundle of thin straight scratches, some of them pale, some dark with dirt."""
    size = len(image)
    for _ in range(random.integers(2, 7)):
        points = line(random, size, bend=0.05)[random.integers(0, 20) : random.integers(22, 40)]
        widths = random.uniform(0.6, 2) * np.sin(np.linspace(0.1, np.pi, len(points)))
        change = random.choice([0.2, -0.5]) * random.uniform(0.4, 1)
        mask = rasterise([(points, widths * unit(size))], size)
        image = image * (1 + change * mask[..., None])
    return image


def add_pits(random: np.random.Generator, image: Field) -> Field:
    """Large dark holes where gravel has broken out."""
    size = len(image)
    mask = holes(random, size, count=int(random.integers(4, 20)), radius=5)
    return carve(random, image, mask, darkness=random.uniform(0.35, 0.75))


# Rates in both classes.
DISTRACTORS = {soil: 0.25, shade: 0.15, add_scratches: 0.1, add_hair: 0.1, add_joint: 0.05}

# Most images without a crack have one of these; shares, sum 1.
HARD_NEGATIVES = {add_joint: 0.5, add_hair: 0.15, add_scratches: 0.1, add_pits: 0.25}
HARD_NEGATIVE_RATE = 0.85
