from pathlib import Path

import pytest
from PIL import Image
from small_study import Recorder, draw_images

from concrete_study.datasets.errors import DataError
from concrete_study.results.leakage import ProbeRun, leakage_table
from concrete_study.results.records import SearchOptions
from concrete_study.results.statistics import mean_interval
from concrete_study.study.leakage import GROUPED, RANDOM, probe_leakage


def test_only_a_random_split_leaks_near_duplicates(tmp_path: Path) -> None:
    images = draw_images(tmp_path / "images")
    for path in list(images.glob("*/*.jpg")):
        Image.open(path).transpose(Image.Transpose.ROTATE_180).save(path.with_stem(f"t{path.stem}"))
    options = SearchOptions(data=(str(images),), image_size=32, precision="float32")
    told = Recorder()
    runs = probe_leakage(options, [1, 2], told)
    assert [(run.split, run.seed) for run in runs] == [
        (RANDOM, 1),
        (GROUPED, 1),
        (RANDOM, 2),
        (GROUPED, 2),
    ]
    for run in runs:
        assert 0 <= run.errors <= run.test_images
        assert (run.leaked > 0) == (run.split == RANDOM)
    again = probe_leakage(options, [1, 2], told)
    assert again == runs


def test_the_table_has_means_and_their_interval_over_seeds() -> None:
    runs = [
        ProbeRun(RANDOM, 1, 100, 40, 1),
        ProbeRun(GROUPED, 1, 100, 0, 5),
        ProbeRun(RANDOM, 2, 100, 60, 3),
        ProbeRun(GROUPED, 2, 100, 0, 5),
    ]
    table = leakage_table(runs).set_index("split")
    assert table.loc[RANDOM, "error"] == pytest.approx(0.02)
    assert table.loc[RANDOM, "leaked"] == pytest.approx(0.5)
    assert table.loc[RANDOM, "error_low"] == 0  # Student's t reaches below
    assert table["error_low"].tolist()[1] == table["error_high"].tolist()[1] == 0.05
    assert table["seeds"].tolist() == [2, 2]


def test_an_interval_of_a_mean_is_student_s() -> None:
    half = 4.302653 * 1.527525 / 3**0.5  # t at 97.5 % and 2 degrees, times s / sqrt(n)
    assert mean_interval([1, 2, 4]) == pytest.approx((7 / 3 - half, 7 / 3 + half), abs=1e-5)
    assert mean_interval([3.0, 3.0]) == (3.0, 3.0)
    with pytest.raises(ValueError, match="at least 2 values; received 1"):
        mean_interval([1.0])


def test_a_class_too_small_for_a_test_image_is_refused(tmp_path: Path) -> None:
    images = draw_images(tmp_path / "images")
    for path in sorted((images / "Positive").iterdir())[6:]:
        path.unlink()
    options = SearchOptions(data=(str(images),), image_size=32, precision="float32")
    with pytest.raises(DataError, match=r"Class Positive has too few.*\n.*at least 7"):
        probe_leakage(options, [1, 2], Recorder())
