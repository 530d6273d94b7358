import math
from pathlib import Path

import pytest

from concrete_study.datasets.errors import UsageError
from concrete_study.models.configuration import Configuration
from concrete_study.results.records import SearchOptions
from concrete_study.search.space import (
    BOUNDS,
    DEFAULT_SPACE,
    FINE_TUNE_LEARNING_RATE,
    Dimension,
    Space,
    configuration_of,
    declare,
    hyperparameters_of,
    read_space,
    size_of,
)
from concrete_study.search.tuner import make_oracle


def written(folder: Path, text: str) -> Path:
    path = folder / "space.toml"
    path.write_text(text, encoding="utf-8")
    return path


def drawn(space: Space, count: int = 100) -> list[dict[str, float | int]]:
    """Settings of the first trials that Keras Tuner's own random oracle hands out."""
    options = SearchOptions(algorithm="random", trials=count, space=space)
    oracle = make_oracle(options)
    found = []
    for number in range(count):
        response = oracle.populate_space(f"{number:04}")
        assert response["status"] == "RUNNING"
        found.append(hyperparameters_of(space, response["values"]))
    return found


def test_the_default_space_is_the_table_of_the_documentation() -> None:
    assert read_space(None) == DEFAULT_SPACE
    expected = {
        "head_units": Dimension((0, 64, 128, 256, 512)),
        "dropout": Dimension(low=0.0, high=0.6),
        "unfreeze_depth": Dimension((0, 1, 2, 3)),
        "head_learning_rate": Dimension(low=1e-5, high=1e-2, log=True),
        "fine_tune_learning_rate": Dimension(low=1e-6, high=1e-4, log=True),
    }
    assert expected == DEFAULT_SPACE
    assert list(DEFAULT_SPACE) == list(BOUNDS)


def test_reading_a_file_does_not_change_the_defaults(tmp_path: Path) -> None:
    read_space(written(tmp_path, "dropout = 0.5"))
    read_space(None).pop("dropout")
    assert read_space(None)["dropout"] == Dimension(low=0.0, high=0.6)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("head_units = [0, 256]", Dimension((0, 256))),
        ("head_units = 64", Dimension((64,))),
        ("head_units = { min = 7, max = 9 }", Dimension((7, 8, 9))),
        ("dropout = { min = 0, max = 0.95 }", Dimension(low=0.0, high=0.95)),
        ("dropout = { min = 0.1, max = 0.5, log = true }", Dimension((), 0.1, 0.5, True)),
        ("dropout = 0", Dimension((0.0,))),
        ("unfreeze_depth = { min = 0, max = 13 }", Dimension(tuple(range(14)))),
        ("unfreeze_depth = 13", Dimension((13,))),
        ("head_learning_rate = { min = 1e-4, max = 1 }", Dimension((), 1e-4, 1.0, True)),
        (
            "fine_tune_learning_rate = { min = 1e-6, max = 1e-5, log = false }",
            Dimension((), 1e-6, 1e-5, False),
        ),
    ],
)
def test_a_file_narrows_widens_or_fixes(line: str, expected: Dimension, tmp_path: Path) -> None:
    name = line.split(" ")[0]
    assert read_space(written(tmp_path, line)) == DEFAULT_SPACE | {name: expected}


@pytest.mark.parametrize(
    "line",
    [
        "head_units = []",
        "head_units = -1",
        "head_units = 1.5",
        "head_units = 8193",
        "head_units = true",
        "head_units = '64'",
        "head_units = [[64]]",
        "head_units = [64, 64]",
        "head_units = { min = 1, max = 64, log = true }",
        "dropout = 0.96",
        "dropout = nan",
        "dropout = { min = 0.5, max = 0.5 }",
        "dropout = { min = 0.5, max = 0.1 }",
        "dropout = { min = 0.0, max = 0.5, log = true }",
        "dropout = { min = 0.0, max = 0.5, log = 1 }",
        "dropout = { min = 0.1 }",
        "dropout = { min = 0.1, max = 0.5, step = 0.1 }",
        "unfreeze_depth = 14",
        "unfreeze_depth = { min = 0.0, max = 3.0 }",
        "head_learning_rate = 0",
        "head_learning_rate = -1e-3",
        "head_learning_rate = inf",
        "fine_tune_learning_rate = 1.5",
        "learning_rate = 1e-3",
    ],
)
def test_a_wrong_key_or_value_is_named(line: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_space(written(tmp_path, line))
    assert caught.value.expected.startswith(f"{line.split(' ')[0]}: ")
    assert "expected" in caught.value.expected
    assert caught.value.hint


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, "depth = 3\ndropout = 2\nhead_units = 64\nunfreeze_depth = -1\n")
    with pytest.raises(UsageError) as caught:
        read_space(path)
    named = [line.split(":")[0] for line in caught.value.expected.splitlines()]
    assert named == ["depth", "dropout", "unfreeze_depth"]
    assert "one of head_units, dropout" in caught.value.expected


@pytest.mark.parametrize("content", [b"head_units = ", b"\xff\xfe", b"a = 1\na = 2", None])
def test_a_file_that_is_no_toml_or_not_there_is_named(
    content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "space.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"space\.toml cannot be read"):
        read_space(path)


def test_the_fine_tune_rate_is_there_exactly_where_something_is_unfrozen() -> None:
    trials = drawn(DEFAULT_SPACE)
    for hyperparameters in trials:
        assert (FINE_TUNE_LEARNING_RATE in hyperparameters) == (
            hyperparameters["unfreeze_depth"] > 0
        )
        configuration_of(hyperparameters)
    depths = {hyperparameters["unfreeze_depth"] for hyperparameters in trials}
    assert depths == {0, 1, 2, 3}


@pytest.mark.parametrize("depth", [0, 2])
def test_a_fixed_depth_decides_about_the_fine_tune_rate(depth: int) -> None:
    trials = drawn(DEFAULT_SPACE | {"unfreeze_depth": Dimension((depth,))}, 20)
    assert all(
        (FINE_TUNE_LEARNING_RATE in hyperparameters) == (depth > 0) for hyperparameters in trials
    )
    assert {hyperparameters["unfreeze_depth"] for hyperparameters in trials} == {depth}


def test_every_draw_is_within_its_range_and_whole_where_it_must_be() -> None:
    trials = drawn(DEFAULT_SPACE)
    for name, dimension in DEFAULT_SPACE.items():
        values = [hyperparameters[name] for hyperparameters in trials if name in hyperparameters]
        if dimension.choices:
            assert set(values) <= set(dimension.choices)
            assert all(type(value) is int for value in values)
        else:
            assert all(dimension.low <= value <= dimension.high for value in values)
    rates = sorted(hyperparameters["head_learning_rate"] for hyperparameters in trials)
    assert 1e-4 < rates[50] < 1e-3  # the middle of 1e-5 to 1e-2 on a log scale is 3e-4


def test_settings_come_in_the_order_of_the_space_without_the_tuners_own() -> None:
    hyperparameters = drawn(DEFAULT_SPACE, 5)[0]
    assert [name for name in DEFAULT_SPACE if name in hyperparameters] == list(hyperparameters)
    given = {"tuner/epochs": 4, "dropout": 0.1, "unfreeze_depth": 0, FINE_TUNE_LEARNING_RATE: 1e-5}
    assert hyperparameters_of(DEFAULT_SPACE, given) == {"dropout": 0.1, "unfreeze_depth": 0}


def test_a_configuration_is_made_of_settings() -> None:
    hyperparameters = {
        "head_units": 8,
        "dropout": 0.1,
        "unfreeze_depth": 0,
        "head_learning_rate": 1e-3,
    }
    assert configuration_of(hyperparameters) == Configuration(
        head_units=8, dropout=0.1, unfreeze_depth=0, head_learning_rate=1e-3
    )


@pytest.mark.parametrize(
    ("depths", "rates", "size"),
    [
        ((0,), (), 6),  # the rate's range does not matter
        ((0, 1), (), math.inf),
        ((0, 1, 2), (1e-5, 1e-4), 6 * (1 + 2 * 2)),
        ((1, 2), (1e-5,), 12),
    ],
)
def test_the_size_counts_the_fine_tune_rate_only_where_it_matters(
    depths: tuple[int, ...], rates: tuple[float, ...], size: float
) -> None:
    space: Space = {
        "head_units": Dimension((0, 8, 16)),
        "dropout": Dimension((0.0, 0.5)),
        "unfreeze_depth": Dimension(depths),
        "head_learning_rate": Dimension((1e-3,)),
        FINE_TUNE_LEARNING_RATE: Dimension(rates)
        if rates
        else DEFAULT_SPACE[FINE_TUNE_LEARNING_RATE],
    }
    assert size_of(space) == size
    assert size_of(DEFAULT_SPACE) == math.inf
    assert len(declare(space).space) == (4 if depths == (0,) else 5)
