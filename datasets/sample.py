"""The built-in sample: 240 synthetic photographs of concrete, half of them cracked.

A crack is a branching, tapering random walk. Where a cracked slab has its crack, most
sound ones have a decoy that costs as much light (a joint, a hair, scratches, pits), so
that shape tells the classes apart and brightness does not. Measured, 5-fold cross-validation of
logistic regression: 55 % on colour histograms, 96 % on VGG16's pooled ImageNet features.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import signal

from concrete_study.datasets.concrete import (
    Field,
    Stroke,
    carve,
    fray,
    photograph,
    rasterise,
    surface,
    unit,
)
from concrete_study.datasets.domains import DOMAINS, Domain
from concrete_study.datasets.files import cache_folder
from concrete_study.datasets.hard_negatives import DECOY_RATE, DECOYS, DISTRACTORS

VERSION = 1  # a new drawing gets a new folder, so that studies never mix two samples
QUALITY = 90  # JPEG artefacts too weak to see, as METU's
STEP = 3.0  # pixels between two points of a walk: shorter than any bend that shows


def sample_path() -> Path:
    """Where the built-in sample is once it has been drawn, in the user's cache folder."""
    return cache_folder() / f"sample-{VERSION}"


def sample_folder() -> Path:
    """The built-in sample in the user's cache folder, drawn on first use (about 15 s).

    Returns:
        A folder with `Negative` and `Positive`, 120 JPEG files each.

    Raises:
        OSError: If the cache folder cannot be written.
    """
    folder = sample_path()
    if not folder.is_dir():
        # Two processes may both find it missing: whoever is second uses the first one's.
        with suppress(FileExistsError):
            make_sample(folder)
    return folder


def make_sample(
    folder: Path,
    *,
    images: int = 240,
    size: int = 227,
    seed: int = 2019,
    domain: Domain = DOMAINS["plain"],
) -> None:
    """Writes the sample as `folder/Negative/0000.jpg` ... and `folder/Positive/0000.jpg` ...

    The folder appears whole or not at all: it is written beside its place and renamed.

    Args:
        folder: Where to; its parents are made, it must be missing or empty.
        images: How many in both classes together, even, at least 2.
        size: Side in pixels, at least 32.
        seed: BatchSource of every choice, at least 0; the same seed gives the same bytes.
        domain: Where the slabs lie.

    Raises:
        ValueError: If `images`, `size` or `seed` is out of range.
        FileExistsError: If `folder` holds something already, also if another process
            put it there meanwhile.
    """
    if images < 2 or images % 2:
        raise ValueError(f"images must be even and at least 2. Received: {images}")
    if size < 32 or seed < 0:
        raise ValueError(f"size must be at least 32, seed at least 0. Received: {size}, {seed}")
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} must be missing or empty. Received: a folder with files")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        write_images(temporary, images=images, size=size, seed=seed, domain=domain)
        temporary.chmod(0o755)
        put_in_place(temporary, folder)
    finally:
        rmtree(temporary, ignore_errors=True)


def write_images(folder: Path, *, images: int, size: int, seed: int, domain: Domain) -> None:
    """Draws both classes into `folder` and waits until they are on the disk."""
    for cracked, name in enumerate(("Negative", "Positive")):
        (folder / name).mkdir()
        for index in range(images // 2):
            random = np.random.default_rng([seed, cracked, index])
            picture = draw_concrete(random, domain, size=size, cracked=bool(cracked))
            with (folder / name / f"{index:04d}.jpg").open("wb") as file:
                Image.fromarray(picture).save(file, "JPEG", quality=QUALITY)
                file.flush()
                os.fsync(file.fileno())


def put_in_place(temporary: Path, folder: Path) -> None:
    """Renames a finished folder; FileExistsError if another one has taken its place."""
    try:
        temporary.rename(folder)
    except OSError as error:  # "directory not empty" has no exception class of its own
        if folder.is_dir():
            raise FileExistsError(f"{folder} was made by another process meanwhile") from error
        raise


def draw_concrete(
    random: np.random.Generator, domain: Domain, *, size: int, cracked: bool
) -> NDArray[np.uint8]:
    """One photograph of a concrete slab.

    Args:
        random: BatchSource of every choice.
        domain: Where the slab lies.
        size: Side in pixels; what is drawn scales with it.
        cracked: Whether it has a crack.

    Returns:
        uint8 RGB array (size, size, 3).
    """
    picture = surface(random, size, roughness=domain.roughness) * domain.exposure
    for distract, rate in DISTRACTORS.items():
        if random.random() < rate:
            picture = distract(random, picture)
    if cracked:
        picture = add_crack(random, picture, domain)
    elif random.random() < DECOY_RATE:
        hard_negatives, shares = list(DECOYS), list(DECOYS.values())
        picture = hard_negatives[random.choice(len(hard_negatives), p=shares)](random, picture)
    return photograph(random, picture, slope=domain.slope)


def add_crack(random: np.random.Generator, picture: Field, domain: Domain) -> Field:
    """A branching crack across the picture, from hairline to 12 pixels wide."""
    size = len(picture)
    width = np.exp(random.uniform(*np.log(domain.crack_widths))) * unit(size)
    mask = fray(random, rasterise(list(crack(random, size, width)), size), 0.7 * unit(size))
    return carve(random, picture, mask, darkness=random.uniform(*domain.crack_darkness))


def crack(random: np.random.Generator, size: int, width: float) -> Iterator[Stroke]:
    """The strokes of a crack: a trunk through the middle of the picture, and its few branches."""
    heading = random.uniform(0, 2 * np.pi)
    towards = np.array([np.cos(heading), np.sin(heading)])
    beside = np.array([-towards[1], towards[0]]) * random.uniform(-0.25, 0.25)
    trunk = walk(random, beside, heading, length=1.7 * size, step=STEP * unit(size))
    trunk += size * (0.5 + beside) - trunk[len(trunk) // 2]
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
    """Points (n, 2) of a walk whose direction strays from `heading` and comes back to it."""
    count = int(length / step)
    kicks = random.normal(0, 0.15, count) + random.standard_t(2, count) * 0.13
    stray = signal.lfilter([1], [1, -0.88], kicks * random.uniform(0.8, 1.25))
    angles = heading + np.clip(stray, -1.3, 1.3)
    steps = step * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return start + np.cumsum(steps, axis=0)


def swelling(random: np.random.Generator, count: int) -> Field:
    """Factors around 1 by which a crack is wider here and narrower there."""
    rough = random.standard_normal(count + 8)
    smooth: Field = np.convolve(rough, np.ones(9) / 3, mode="valid")
    factors: Field = np.exp(0.28 * smooth)
    return factors
