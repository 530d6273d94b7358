"""The leakage benchmark on a few generated images, each with a rotated near-duplicate."""

import sys
from pathlib import Path

from PIL import Image

from concrete_study.datasets.sample import make_sample

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from leakage import probe_leakage


def test_only_a_random_split_has_near_duplicates_in_train_and_test(tmp_path: Path) -> None:
    make_sample(tmp_path / "images", images=28, size=48, seed=3)
    for path in list((tmp_path / "images").glob("*/*.jpg")):
        Image.open(path).transpose(Image.Transpose.ROTATE_180).save(path.with_stem(f"r{path.stem}"))
    runs = probe_leakage(tmp_path / "images", range(1, 3), image_size=32, precision="float32")
    assert [(run.split, run.seed) for run in runs] == [
        ("random", 1),
        ("grouped", 1),
        ("random", 2),
        ("grouped", 2),
    ]
    for run in runs:
        assert 0 <= run.errors <= run.test_images
        assert (run.leaked > 0) == (run.split == "random")
