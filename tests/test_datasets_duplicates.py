import csv
import io
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from small_study import Recorder

from concrete_study.datasets.decoding import THUMBNAIL_SIDE, decode_image, thumbnail
from concrete_study.datasets.duplicates import Pair, find_pairs
from concrete_study.datasets.errors import DataError
from concrete_study.datasets.folders import LabelledImage, read_folder
from concrete_study.datasets.groups import group_images
from concrete_study.datasets.sample import make_sample
from concrete_study.datasets.similarity import Matcher, describe

Change = Callable[[Image.Image, random.Random], Image.Image]


def rotated(image: Image.Image, dice: random.Random) -> Image.Image:
    return image.transpose(dice.choice(list(Image.Transpose)))


def reencoded(image: Image.Image, dice: random.Random) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=dice.randint(50, 80))
    return Image.open(file)


def relit(image: Image.Image, dice: random.Random) -> Image.Image:
    brighter = ImageEnhance.Brightness(image).enhance(dice.uniform(0.85, 1.15))
    return ImageEnhance.Contrast(brighter).enhance(dice.uniform(0.85, 1.15))


def cropped(image: Image.Image, dice: random.Random) -> Image.Image:
    side = round(image.width * dice.uniform(0.9, 0.97))
    x, y = (dice.randint(0, image.width - side) for _ in "xy")
    return image.crop((x, y, x + side, y + side)).resize(image.size, Image.Resampling.BICUBIC)


def shifted(image: Image.Image, dice: random.Random) -> Image.Image:
    """By up to a tenth; the edge is filled by reflection."""
    reach = round(image.width / 10)
    x, y = (dice.randint(-reach, reach) for _ in "xy")
    padded = np.pad(np.asarray(image), ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    left, top = reach + x, reach + y
    return Image.fromarray(padded).crop((left, top, left + image.width, top + image.width))


def all_at_once(image: Image.Image, dice: random.Random) -> Image.Image:
    return reencoded(relit(cropped(rotated(image, dice), dice), dice), dice)


def save(image: Image.Image, path: Path) -> None:
    image.save(path, compress_level=1)  # the default takes a fifth of these tests


@pytest.fixture(scope="module")
def truth(real_images: Path) -> list[dict[str, str]]:
    """METU's images with their groups, found without shifts and verified by eye."""
    with (real_images.parent / "metu-4000-groups.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Thirty unique synthetic images, half of them cracked."""
    folder = tmp_path_factory.mktemp("generated") / "images"
    make_sample(folder, images=30)
    return sorted(folder.glob("*/*.jpg"))


@pytest.fixture(params=["generated", "METU"])
def unique(request: pytest.FixtureRequest) -> list[Path]:
    """Unique images: generated, and, where METU is available, forty photographs."""
    if request.param == "generated":
        images: list[Path] = request.getfixturevalue("generated")
        return images
    root = request.getfixturevalue("real_images")
    first = {r["group"]: r["file"] for r in reversed(request.getfixturevalue("truth"))}
    return [root / file for file in sorted(first.values())[::88]]


@pytest.mark.parametrize("change", [rotated, reencoded, relit, cropped, shifted, all_at_once])
def test_near_duplicates_are_found_and_nothing_else(
    change: Change, unique: list[Path], tmp_path: Path
) -> None:
    dice = random.Random(5)
    for label in "AB":
        (tmp_path / label).mkdir()
    for number, path in enumerate(unique):
        image = Image.open(path)
        save(image, tmp_path / "AB"[number % 2] / f"{number}.png")
        save(change(image, dice), tmp_path / "BA"[number % 2] / f"{number} changed.png")
    folder = read_folder(tmp_path)
    found = find_pairs(folder.files(), folder.thumbnails)
    number_of = {image.sha256: Path(image.file).stem.split()[0] for image in folder.images}
    pairs = {tuple(sorted((number_of[p.first], number_of[p.second]))) for p in found}
    same = {one for one, other in pairs if one == other}
    assert {one for one, other in pairs if one != other} == set()
    assert len(same) >= len(unique) - 1


def linked(groups: dict[str, str]) -> set[tuple[str, str]]:
    members: dict[str, list[str]] = {}
    for digest, group in sorted(groups.items()):
        members.setdefault(group, []).append(digest)
    return {(a, b) for m in members.values() for k, a in enumerate(m) for b in m[k + 1 :]}


def test_the_known_near_duplicates_of_metu_are_found_and_no_others(
    real_images: Path, truth: list[dict[str, str]]
) -> None:
    sizes: dict[str, int] = {}
    for row in truth:
        sizes[row["group"]] = sizes.get(row["group"], 0) + 1
    repeated = [row for row in truth if sizes[row["group"]] > 1][:300]
    singles = [row for row in truth if sizes[row["group"]] == 1][::20]
    rows = repeated + singles
    images = [LabelledImage(row["file"], row["label"], row["sha256"]) for row in rows]
    found = find_pairs({image.sha256: real_images / image.file for image in images})
    known = linked({row["sha256"]: row["group"] for row in rows})
    pairs = linked(group_images(images, [pair[:2] for pair in found]))
    assert known - pairs == set()
    # Shifted ones, which the list lacks, verified by eye: docs/images/metu-shifted.jpg.
    assert len(pairs - known) <= 0.05 * len(pairs)


def test_a_description_is_invariant_under_the_eight_symmetries() -> None:
    image = np.random.default_rng(1).integers(0, 256, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), np.uint8)
    rotations = [np.rot90(image, k) for k in range(4)]
    described = describe(np.stack([*rotations, *(r.T for r in rotations)]))
    np.testing.assert_allclose(described, described[:1].repeat(8, 0), atol=1e-5)


def test_images_that_sketches_rule_out_do_not_correlate_by_that_much(
    generated: list[Path],
) -> None:
    images = [thumbnail(decode_image(path)) for path in generated[:8]]
    images += [np.roll(image, 5, axis=1) for image in images]
    matcher, others = Matcher(images), range(1, 16)
    exact = {other: match.correlation for other, match in matcher.matches(0, others, -1.0)}
    assert set(exact) == {*others}
    for least in (0.3, 0.5, 0.87):
        found = {other: match.correlation for other, match in matcher.matches(0, others, least)}
        assert found == {other: value for other, value in exact.items() if value >= least}


def folder_of(images: Iterable[Image.Image], folder: Path) -> dict[str, Path]:
    for label in "AB":
        (folder / label).mkdir(parents=True)
    for number, image in enumerate(images):
        save(image, folder / "AB"[number % 2] / f"{number}.png")
    return read_folder(folder).files()


def test_blank_images_are_no_near_duplicates(tmp_path: Path) -> None:
    files = folder_of((Image.new("RGB", (64, 64), (n, n, n)) for n in (0, 90, 255)), tmp_path)
    assert find_pairs(files) == []
    assert find_pairs(dict([files.popitem()])) == []
    assert find_pairs({}) == []


def test_images_that_were_compared_before_come_from_the_cache(
    generated: list[Path], tmp_path: Path
) -> None:
    files = folder_of((Image.open(path) for path in generated[:6]), tmp_path)
    first, second = Recorder(), Recorder()
    find_pairs(files, progress=first)
    assert first.counted == {"comparing descriptions": 6, "finding near-duplicates": 6}
    find_pairs(dict.fromkeys(files, tmp_path / "missing.png"), progress=second)
    assert second.counted == {}


def test_thumbnails_that_exist_are_not_decoded_again_and_give_the_same_pairs(
    generated: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images: list[Image.Image] = [Image.open(path) for path in generated[10:16]]
    images += [rotated(image, random.Random(1)) for image in images]
    found = []
    for name in ("decoded", "given"):
        monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache" / name))
        files = folder_of(images, tmp_path / name)
        thumbnails = {digest: thumbnail(decode_image(file)) for digest, file in files.items()}
        missing = dict.fromkeys(files, tmp_path / "missing.png")
        found.append(find_pairs(files) if name == "decoded" else find_pairs(missing, thumbnails))
    assert len(found[0]) == 6
    assert found[0] == found[1]


def test_an_image_that_is_missing_is_an_error_and_nothing_is_cached(
    generated: list[Path], tmp_path: Path
) -> None:
    files = folder_of((Image.open(path) for path in generated[6:10]), tmp_path)
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
