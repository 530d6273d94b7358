from pathlib import Path
from typing import Any

import pytest
from small_records import study_record

from concrete_study.datasets.errors import UsageError
from concrete_study.results.folder import StudyFolder
from concrete_study.results.hyperparameters import Dimension, Space, default_space
from concrete_study.results.records import SearchOptions
from concrete_study.search.options import check, choose_class_weight, oracle_seed, schedule_of
from concrete_study.search.schedule import total_trials


def test_classes_are_weighted_by_default_above_one_and_a_half_times() -> None:
    chosen = [choose_class_weight(SearchOptions(), imbalance) for imbalance in (1, 1.5, 1.51)]
    assert chosen == ["none", "none", "balanced"]
    assert choose_class_weight(SearchOptions(class_weight="none"), 9) == "none"
    assert choose_class_weight(SearchOptions(class_weight="balanced"), 1) == "balanced"


def discrete(units: int, rates: int = 1) -> Space:
    """`units * rates` configurations."""
    return default_space() | {
        "head_units": Dimension(choices=tuple(range(units))),
        "dropout": Dimension(choices=(0.3,)),
        "unfreeze_depth": Dimension(choices=(0,)),
        "feature_layers": Dimension(choices=("block5",)),
        "head_learning_rate": Dimension(choices=tuple(1e-3 * (n + 1) for n in range(rates))),
    }


@pytest.mark.parametrize(
    "given",
    [
        {"algorithm": "genetic"},
        {"objective": "accuracy"},
        {"precision": "int8"},
        {"select": "2se"},
        {"class_weight": "auto"},
        {"folds": -1},
        {"folds": 1},
        {"repeats": 0},
        {"max_epochs": 0},
        {"factor": 1},
        {"iterations": 0},
        {"batch_size": 0},
        {"views": 0},
        {"search_images": 3},
        {"cache_gb": -0.5},
        {"cache_gb": float("nan")},
        {"cache_gb": float("inf")},
        {"seed": -1},
        {"seed": 1_000_001},
        {"trials": 0, "algorithm": "random"},
        {"trials": 5},
    ],
)
def test_an_invalid_option_is_one_error_with_its_name_value_and_what_was_expected(
    given: dict[str, Any],
) -> None:
    (name, value), *_ = given.items()
    with pytest.raises(UsageError) as caught:
        check(SearchOptions(**given))
    assert caught.value.parameter == name
    assert str(value) in caught.value.problem
    assert "Expected" in caught.value.expected
    assert "--" not in str(caught.value)


def test_an_invalid_split_is_refused() -> None:
    with pytest.raises(UsageError, match="70/30"):
        check(SearchOptions(split="70/30"))


@pytest.mark.parametrize(
    "given",
    [
        {"data": ("/a", "/b"), "external_test": ("/b",)},
        {"data": ("/a",), "validate_on": "/a"},
        {"data": ("/a",), "test": "/a"},
        {"test": "/b", "external_test": ("/b",)},
        {"external_test": ("/b",), "validate_on": "/b"},
    ],
)
def test_a_folder_with_two_uses_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="given twice"):
        check(SearchOptions(**given))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"algorithm": "random", "trials": 12, "seed": 0, "cache_gb": 0},
        {"data": ("/somewhere/ß",), "space": discrete(23), "objective": "val_macro_f1"},
    ],
)
def test_options_are_read_from_study_json_as_they_were_written(
    given: dict[str, Any], tmp_path: Path
) -> None:
    options, study = SearchOptions(**given), StudyFolder(tmp_path / "s")
    check(options)
    study.write_manifest(study_record("s", options=options))
    assert study.manifest().options == options


def test_two_searches_do_not_share_their_space() -> None:
    SearchOptions().space.pop("dropout")
    assert SearchOptions().space == default_space()


def test_the_oracle_never_gets_the_seed_0() -> None:
    assert [oracle_seed(SearchOptions(seed=seed)) for seed in (0, 1, 2)] == [1, 1001, 2001]


def test_hyperband_on_a_space_it_would_use_up_is_refused_with_a_hint() -> None:
    # 22 configurations are drawn, never one twice: with fewer, Keras Tuner just ends.
    with pytest.raises(UsageError, match="only 21 configurations") as caught:
        check(SearchOptions(space=discrete(7, 3)))
    assert "at least 22" in caught.value.expected
    assert "grid search" in caught.value.hint
    check(SearchOptions(space=discrete(11, 2)))
    check(SearchOptions(space=discrete(3), max_epochs=1))
    with pytest.raises(UsageError, match="at least 44"):
        check(SearchOptions(space=discrete(11, 3), iterations=2))


def test_a_grid_over_a_range_needs_a_number_of_trials() -> None:
    with pytest.raises(UsageError, match="a grid over a range is infinite"):
        check(SearchOptions(algorithm="grid"))
    check(SearchOptions(algorithm="grid", trials=30))


@pytest.mark.parametrize(
    ("given", "trials"),
    [
        ({}, 30),
        ({"iterations": 2}, 60),
        ({"algorithm": "random"}, 20),
        ({"algorithm": "bayesian", "trials": 7}, 7),
        ({"algorithm": "random", "space": discrete(5)}, 5),
        ({"algorithm": "grid", "space": discrete(5, 9)}, 45),
        ({"algorithm": "grid", "space": discrete(5, 9), "trials": 10}, 10),
    ],
)
def test_the_number_of_trials_is_known_in_advance(given: dict[str, Any], trials: int) -> None:
    assert total_trials(schedule_of(SearchOptions(**given))) == trials
