import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from concrete_study.datasets import sample
from concrete_study.datasets.sample import (
    DOMAINS,
    Domain,
    draw_concrete,
    make_sample,
    sample_folder,
    sample_path,
)

COLOUR_BINS = 16


@pytest.fixture(scope="module")
def smaller_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample at 64 instead of 227 pixels, a seventh of the time."""
    folder = tmp_path_factory.mktemp("sample") / "smaller"
    make_sample(folder, size=64)
    return folder


@pytest.fixture
def small_cached_sample(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Makes `sample_folder` generate four small images in a cache folder of the test."""
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))

    def make_small_sample(folder: Path) -> None:
        make_sample(folder, images=4, size=40)

    monkeypatch.setattr(sample, "make_sample", make_small_sample)
    return tmp_path / "cache"


def content(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def colours(path: Path) -> NDArray[np.float64]:
    pixels = np.asarray(Image.open(path)).reshape(-1, 3)
    counts = [np.histogram(band, bins=COLOUR_BINS, range=(0, 256))[0] for band in pixels.T]
    return np.concatenate(counts) / len(pixels)


def test_the_sample_is_240_jpeg_images_of_227_pixels_half_of_them_cracked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drawn = []

    def draw_plain(
        random: np.random.Generator, domain: Domain, *, size: int, cracked: bool
    ) -> NDArray[np.uint8]:
        drawn.append((domain, size, cracked))
        return np.zeros((size, size, 3), np.uint8)

    monkeypatch.setattr(sample, "draw_concrete", draw_plain)
    make_sample(tmp_path / "whole")
    plain = DOMAINS["plain"]
    assert drawn == [(plain, 227, False)] * 120 + [(plain, 227, True)] * 120
    assert sorted(path.name for path in (tmp_path / "whole").iterdir()) == ["Negative", "Positive"]
    for name in ("Negative", "Positive"):
        files = sorted((tmp_path / "whole" / name).iterdir())
        assert [path.name for path in files] == [f"{index:04d}.jpg" for index in range(120)]
        with Image.open(files[0]) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (227, 227))


def test_colours_do_not_separate_the_classes(smaller_sample: Path) -> None:
    paths = sorted(smaller_sample.glob("*/*.jpg"))
    features = np.array([colours(path) for path in paths])
    cracked = np.array([path.parent.name == "Positive" for path in paths])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    assert cross_val_score(model, features, cracked, cv=folds).mean() < 0.75
    order = np.random.default_rng(0).permutation(len(paths))
    train, test = order[:168], order[168:]
    assert model.fit(features[train], cracked[train]).score(features[test], cracked[test]) < 0.75


def test_all_images_are_different(smaller_sample: Path) -> None:
    assert len(set(content(smaller_sample).values())) == 240


def test_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        make_sample(tmp_path / name, images=6, size=64, seed=7)
    assert content(tmp_path / "first") == content(tmp_path / "second")


def test_another_seed_gives_other_images(tmp_path: Path) -> None:
    for seed in (7, 8):
        make_sample(tmp_path / str(seed), images=6, size=64, seed=seed)
    first, second = content(tmp_path / "7"), content(tmp_path / "8")
    assert first.keys() == second.keys()
    assert not set(first.values()) & set(second.values())


@pytest.mark.parametrize("cracked", [False, True])
@pytest.mark.parametrize("size", [32, 65, 227])
def test_an_image_has_the_given_size(size: int, cracked: bool) -> None:
    image = draw_concrete(np.random.default_rng(0), DOMAINS["plain"], size=size, cracked=cracked)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8
    assert image.std() > 1


@pytest.mark.parametrize(
    ("images", "size", "seed"), [(0, 64, 1), (3, 64, 1), (2, 8, 1), (2, 64, -1)]
)
def test_numbers_out_of_range_are_refused(
    tmp_path: Path, images: int, size: int, seed: int
) -> None:
    with pytest.raises(ValueError, match="Received"):
        make_sample(tmp_path / "sample", images=images, size=size, seed=seed)


def test_an_interrupted_write_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def draw_until_cracked(
        random: np.random.Generator, domain: Domain, *, size: int, cracked: bool
    ) -> NDArray[np.uint8]:
        if cracked:
            raise KeyboardInterrupt
        return draw_concrete(random, domain, size=size, cracked=cracked)

    monkeypatch.setattr(sample, "draw_concrete", draw_until_cracked)
    with pytest.raises(KeyboardInterrupt):
        make_sample(tmp_path / "sample", images=4, size=40)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="missing or empty"):
        make_sample(tmp_path, images=2, size=40)
    assert content(tmp_path) == {"photo.jpg": b"mine"}


def test_second_call_reuses_the_sample(small_cached_sample: Path) -> None:
    assert not sample_path().exists()
    folder = sample_folder()
    assert folder == sample_path()
    assert folder.parent == small_cached_sample
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/*.jpg")}
    assert len(before) == 4
    assert sample_folder() == folder
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/*.jpg")} == before


def test_of_two_processes_the_sample_of_the_first_is_used(
    monkeypatch: pytest.MonkeyPatch, small_cached_sample: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    make_sample(theirs, images=4, size=40, seed=1)
    write_images = sample.write_images

    def write_while_another_finishes(folder: Path, **drawing: Any) -> None:
        write_images(folder, **drawing)
        shutil.copytree(theirs, small_cached_sample / f"sample-{sample.VERSION}")

    monkeypatch.setattr(sample, "write_images", write_while_another_finishes)
    folder = sample_folder()
    assert content(folder) == content(theirs)
    assert list(small_cached_sample.iterdir()) == [folder]


def test_the_fine_domain_has_darker_images_and_finer_cracks_and_none_in_common(
    tmp_path: Path,
) -> None:
    brightness, crack = {}, {}
    for name, domain in DOMAINS.items():
        make_sample(tmp_path / name, images=12, size=96, seed=domain.seed, domain=domain)
        images = [np.asarray(Image.open(p).convert("L")) for p in tmp_path.glob(f"{name}/*/*.jpg")]
        brightness[name] = float(np.mean(images))
        crack[name] = domain.crack_widths[1]
    assert brightness["fine"] < 0.85 * brightness["plain"]
    assert crack["fine"] < 0.5 * crack["plain"]
    contents = [{p.read_bytes() for p in tmp_path.glob(f"{name}/*/*.jpg")} for name in DOMAINS]
    assert contents[0].isdisjoint(contents[1])
