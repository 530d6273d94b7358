"""Shortcuts: a property that differs between the classes is found, an unrelated one is not."""

from collections.abc import Sequence

import numpy as np
import pytest
from msgspec.structs import replace
from sklearn.metrics import roc_auc_score
from small_records import measured

from concrete_study.datasets.measures import Measured
from concrete_study.results.shortcuts import (
    PREDICTORS,
    Shortcut,
    describe_shortcuts,
    find_shortcuts,
    shortcuts_table,
)

RANDOM = np.random.default_rng(1)


def found(images: Sequence[Measured], positive: str | None = None) -> dict[str, Shortcut]:
    classes = sorted({image.label for image in images})
    groups = [str(number) for number in range(len(images))]
    return {s.predictor: s for s in find_shortcuts(images, groups, classes, positive)}


def images(
    label: str, brightness: float, count: int = 60, quality: int | None = 90
) -> list[Measured]:
    return [
        measured(
            f"{label}/{n}",
            label,
            brightness=float(RANDOM.normal(brightness, 10)),
            sharpness=float(RANDOM.normal(50, 5)),
            jpeg_quality=quality,
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("positive", ["a", "b"])
def test_the_area_is_scikit_learns_in_the_direction_that_predicts_better(positive: str) -> None:
    both = [*images("a", 100), *images("b", 110)]
    brightness = found(both, positive)["brightness"]
    area = roc_auc_score([i.label == "b" for i in both], [i.brightness for i in both])
    assert brightness.roc_auc.value == pytest.approx(max(area, 1 - area), abs=1e-12)
    assert brightness.roc_auc.low < brightness.roc_auc.value < brightness.roc_auc.high
    assert brightness.higher_in == "b"


def test_a_property_that_separates_the_classes_is_named_and_an_unrelated_one_is_not() -> None:
    shortcuts = found([*images("a", 50), *images("b", 200)], "b")
    assert shortcuts["brightness"].roc_auc.low == 1
    assert shortcuts["sharpness"].roc_auc.low < 0.6
    constant = shortcuts["width x height"].roc_auc
    assert (constant.low, constant.value, constant.high) == (0.5, 0.5, 0.5)
    text = describe_shortcuts(list(shortcuts.values()))
    assert "brightness (ROC AUC 1.00, 1.00 to 1.00; higher in b)" in text
    assert "sharpness" not in text
    assert describe_shortcuts([shortcuts["sharpness"]]).startswith("No property alone")


def test_a_class_in_another_file_format_is_a_shortcut() -> None:
    shortcuts = found([*images("a", 100, quality=95), *images("b", 100, quality=None)], "a")
    assert shortcuts["JPEG quality"].roc_auc.value == 1
    assert shortcuts["JPEG quality"].higher_in == "b"


def test_three_classes_have_the_mean_of_one_against_the_rest_each_in_its_direction() -> None:
    parts = [*images("a", 50), *images("b", 100), *images("c", 150)]
    brightness = found(parts)["brightness"]
    areas = [
        roc_auc_score([i.label == c for i in parts], [i.brightness for i in parts]) for c in "abc"
    ]
    expected = np.mean([max(area, 1 - area) for area in areas])
    assert brightness.roc_auc.value == pytest.approx(expected, abs=1e-12)
    assert brightness.higher_in == "c"


def test_images_of_one_group_widen_the_interval() -> None:
    both = [*images("a", 100), *images("b", 110)]
    alone = found(both, "b")["brightness"].roc_auc
    groups = [f"{image.label}{n % 5}" for n, image in enumerate(both)]
    repeated = [replace(s) for s in find_shortcuts(both * 4, groups * 4, ["a", "b"], "b")]
    (grouped,) = (s.roc_auc for s in repeated if s.predictor == "brightness")
    assert grouped.value == pytest.approx(alone.value)
    assert grouped.high - grouped.low > 0.5 * (alone.high - alone.low)


def test_the_table_has_every_property_the_best_predictor_first() -> None:
    table = shortcuts_table(list(found([*images("a", 50), *images("b", 200)], "b").values()))
    assert list(table.columns) == [
        *("predictor", "roc_auc", "roc_auc_low", "roc_auc_high", "higher_in")
    ]
    assert {*table["predictor"]} == {*PREDICTORS}
    assert table["roc_auc"].is_monotonic_decreasing
