import csv
import io
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from concrete_study.datasets.duplicates import Pair, find_pairs
from concrete_study.datasets.errors import DataError
from concrete_study.datasets.folders import LabelledImage, read_folder
from concrete_study.datasets.groups import group_images
from concrete_study.datasets.similarity import SIDE, describe

Change = Callable[[Image.Image, random.Random], Image.Image]


def turned(image: Image.Image, dice: random.Random) -> Image.Image:
    return image.transpose(dice.choice(list(Image.Transpose)))


def encoded(image: Image.Image, dice: random.Random) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=dice.randint(50, 80))
    return Image.open(file)


def lit(image: Image.Image, dice: random.Random) -> Image.Image:
    brighter = ImageEnhance.Brightness(image).enhance(dice.uniform(0.85, 1.15))
    return ImageEnhance.Contrast(brighter).enhance(dice.uniform(0.85, 1.15))


def cropped(image: Image.Image, dice: random.Random) -> Image.Image:
    side = round(image.width * dice.uniform(0.92, 0.97))
    x, y = (dice.randint(0, image.width - side) for _ in "xy")
    return image.crop((x, y, x + side, y + side)).resize(image.size, Image.Resampling.BICUBIC)


def shifted(image: Image.Image, dice: random.Random) -> Image.Image:
    """Mirrored at the edge, as nothing is known of what lies beyond it."""
    x, y = (dice.randint(-18, 18) for _ in "xy")
    padded = np.pad(np.asarray(image), ((18, 18), (18, 18), (0, 0)), mode="reflect")
    return Image.fromarray(padded).crop(
        (18 + x, 18 + y, 18 + x + image.width, 18 + y + image.width)
    )


def all_at_once(image: Image.Image, dice: random.Random) -> Image.Image:
    return encoded(lit(cropped(turned(image, dice), dice), dice), dice)


@pytest.fixture(scope="module")
def truth(real_images: Path) -> list[dict[str, str]]:
    """METU's images with their groups, as found at shift 0 and looked at."""
    with (real_images.parent / "metu-4000-groups.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def pictures(real_images: Path, truth: list[dict[str, str]]) -> list[Path]:
    """Forty different photographs."""
    first = {row["group"]: row["file"] for row in reversed(truth)}
    return [real_images / file for file in sorted(first.values())[::88]]


@pytest.mark.parametrize("change", [turned, encoded, lit, cropped, shifted, all_at_once])
def test_a_changed_copy_is_found_and_nothing_else(
    change: Change, pictures: list[Path], tmp_path: Path
) -> None:
    dice = random.Random(5)
    for label in "AB":
        (tmp_path / label).mkdir()
    for number, path in enumerate(pictures):
        image = Image.open(path)
        image.save(tmp_path / "AB"[number % 2] / f"{number}.png")
        change(image, dice).save(tmp_path / "BA"[number % 2] / f"{number} changed.png")
    found = find_pairs((folder := read_folder(tmp_path)).files())
    number_of = {image.sha256: Path(image.file).stem.split()[0] for image in folder.images}
    couples = {tuple(sorted((number_of[p.first], number_of[p.second]))) for p in found}
    same = {one for one, other in couples if one == other}
    assert {one for one, other in couples if one != other} == set()
    assert len(same) >= len(pictures) - 1


def linked(groups: dict[str, str]) -> set[tuple[str, str]]:
    members: dict[str, list[str]] = {}
    for digest, group in sorted(groups.items()):
        members.setdefault(group, []).append(digest)
    return {(a, b) for m in members.values() for k, a in enumerate(m) for b in m[k + 1 :]}


def test_the_known_copies_of_metu_are_found_and_no_others(
    real_images: Path, truth: list[dict[str, str]]
) -> None:
    sizes: dict[str, int] = {}
    for row in truth:
        sizes[row["group"]] = sizes.get(row["group"], 0) + 1
    copies = [row for row in truth if sizes[row["group"]] > 1][:300]
    singles = [row for row in truth if sizes[row["group"]] == 1][::20]
    rows = copies + singles
    images = [LabelledImage(row["file"], row["label"], row["sha256"]) for row in rows]
    found = find_pairs({image.sha256: real_images / image.file for image in images})
    known = linked({row["sha256"]: row["group"] for row in rows})
    pairs = linked(group_images(images, [pair[:2] for pair in found]))
    assert known - pairs == set()
    # Shifted copies, which the list does not have: looked at, docs/images/metu-shifted.jpg.
    assert len(pairs - known) <= 0.05 * len(pairs)


def test_a_description_does_not_change_under_the_eight_symmetries() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE), np.uint8)
    turns = [np.rot90(picture, k) for k in range(4)]
    described = describe(np.stack([*turns, *(t.T for t in turns)]))
    np.testing.assert_allclose(described, described[:1].repeat(8, 0), atol=1e-5)


def folder_of(images: Iterable[Image.Image], folder: Path) -> dict[str, Path]:
    for label in "AB":
        (folder / label).mkdir(parents=True)
    for number, image in enumerate(images):
        image.save(folder / "AB"[number % 2] / f"{number}.png")
    return read_folder(folder).files()


def test_blank_pictures_are_not_copies_of_each_other(tmp_path: Path) -> None:
    files = folder_of((Image.new("RGB", (64, 64), (n, n, n)) for n in (0, 90, 255)), tmp_path)
    assert find_pairs(files) == []
    assert find_pairs(dict([files.popitem()])) == []
    assert find_pairs({}) == []


def test_what_was_compared_once_is_not_compared_again(pictures: list[Path], tmp_path: Path) -> None:
    files = folder_of((Image.open(path) for path in pictures[:6]), tmp_path)
    compared: list[int] = []
    find_pairs(files, on_image=lambda: compared.append(1))
    assert len(compared) == 6
    find_pairs(dict.fromkeys(files, tmp_path / "gone.png"), on_image=lambda: compared.append(1))
    assert len(compared) == 6


def test_an_image_that_has_gone_is_an_error_and_nothing_is_kept(
    pictures: list[Path], tmp_path: Path
) -> None:
    files = folder_of((Image.open(path) for path in pictures[6:10]), tmp_path)
    next(iter(files.values())).unlink()
    for _ in range(2):
        with pytest.raises(DataError, match="can no longer be read"):
            find_pairs(files)


def test_a_group_is_named_by_its_smallest_content_and_links_chain() -> None:
    images = [LabelledImage(f"A/{c}.png", "A", c * 64) for c in "cabde"]
    pairs = [Pair("c" * 64, "b" * 64, 0.9), Pair("d" * 64, "c" * 64, 0.9), Pair("a", "e", 0.9)]
    groups = group_images(images, [pair[:2] for pair in pairs])
    assert [groups[c * 64][0] for c in "abcde"] == ["a", "b", "b", "b", "e"]
    assert all(len(group) == 16 for group in groups.values())
