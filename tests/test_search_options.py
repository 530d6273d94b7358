import json
from typing import Any

import pytest

from concrete_study.datasets.errors import StudyStateError, UsageError
from concrete_study.results.records import SearchOptions
from concrete_study.search.schedule import total_trials
from concrete_study.search.space import DEFAULT_SPACE, Dimension, Space


def discrete(units: int, rates: int = 1) -> Space:
    """`units * rates` configurations."""
    return DEFAULT_SPACE | {
        "head_units": Dimension(tuple(range(units))),
        "dropout": Dimension((0.3,)),
        "unfreeze_depth": Dimension((0,)),
        "head_learning_rate": Dimension(tuple(1e-3 * (n + 1) for n in range(rates))),
    }


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"algorithm": "genetic"}, "--algorithm genetic"),
        ({"objective": "accuracy"}, "--objective accuracy"),
        ({"precision": "int8"}, "--precision int8"),
        ({"max_epochs": 0}, "--max-epochs 0"),
        ({"factor": 1}, "--factor 1"),
        ({"iterations": 0}, "--iterations 0"),
        ({"batch_size": 0}, "--batch-size 0"),
        ({"views": 0}, "--views 0"),
        ({"image_size": 31}, "--image-size 31"),
        ({"cache_gb": -0.5}, "--cache-gb -0.5"),
        ({"cache_gb": float("nan")}, "--cache-gb nan"),
        ({"cache_gb": float("inf")}, "--cache-gb inf"),
        ({"seed": -1}, "--seed -1"),
        ({"seed": 1_000_001}, "--seed 1000001"),
        ({"trials": 0, "algorithm": "random"}, "--trials 0"),
        ({"split": "70/30"}, "--split 70/30"),
        ({"trials": 5}, "--trials 5"),
    ],
)
def test_a_bad_option_is_one_error_that_names_it_and_what_was_expected(
    given: dict[str, Any], option: str
) -> None:
    with pytest.raises(UsageError) as caught:
        SearchOptions(**given)
    assert option in caught.value.problem
    assert "Expected" in caught.value.expected


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"algorithm": "random", "trials": 12, "seed": 0, "cache_gb": 0},
        {"data": ("/somewhere/ß",), "space": discrete(23), "objective": "val_macro_f1"},
    ],
)
def test_options_come_back_from_json_as_they_were(given: dict[str, Any]) -> None:
    options = SearchOptions(**given)
    text = json.dumps(options.to_json(), allow_nan=False)
    assert SearchOptions.from_json(json.loads(text)) == options


def test_two_searches_do_not_share_their_space() -> None:
    SearchOptions().space.pop("dropout")
    assert SearchOptions().space == DEFAULT_SPACE


@pytest.mark.parametrize("damage", [{}, {"space": None}, {"spaces": {}}, {"space": {"a": {}}}])
def test_stored_options_of_another_version_are_refused_without_a_traceback(
    damage: dict[str, Any],
) -> None:
    content = SearchOptions().to_json() | {"temperature": 1} | damage
    for stored in (damage, content):
        with pytest.raises(StudyStateError, match="options cannot be read"):
            SearchOptions.from_json(stored)


def test_hyperband_on_a_space_it_would_use_up_is_refused_with_a_hint() -> None:
    # 22 configurations are drawn, never one twice: with fewer, Keras Tuner just ends.
    with pytest.raises(UsageError, match="only 21 configurations") as caught:
        SearchOptions(space=discrete(7, 3))
    assert "at least 22" in caught.value.expected
    assert "--algorithm grid" in caught.value.hint
    SearchOptions(space=discrete(11, 2))
    SearchOptions(space=discrete(3), max_epochs=1)
    with pytest.raises(UsageError, match="at least 44"):
        SearchOptions(space=discrete(11, 3), iterations=2)


def test_a_grid_over_a_range_needs_a_number_of_trials() -> None:
    with pytest.raises(UsageError, match="a grid over a range has no end"):
        SearchOptions(algorithm="grid")
    SearchOptions(algorithm="grid", trials=30)


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
    assert total_trials(SearchOptions(**given).schedule()) == trials
