import math
from pathlib import Path
from typing import Any

import pytest

from concrete_study.datasets.errors import UsageError
from concrete_study.models.configuration import Configuration
from concrete_study.results.hyperparameters import HYPERPARAMETERS, Dimension, Space, default_space
from concrete_study.results.records import SearchOptions
from concrete_study.search.space import configuration_of, read_space, size_of
from concrete_study.search.tuner import declare, hyperparameters_of, make_oracle


def written(folder: Path, text: str) -> Path:
    path = folder / "space.toml"
    path.write_text(text, encoding="utf-8")
    return path


def drawn(space: Space, count: int = 100) -> list[dict[str, Any]]:
    """Hyperparameters of the first trials of Keras Tuner's own random oracle."""
    options = SearchOptions(algorithm="random", trials=count, space=space)
    oracle = make_oracle(options)
    found = []
    for number in range(count):
        response = oracle.populate_space(f"{number:04}")
        assert response["status"] == "RUNNING"
        found.append(hyperparameters_of(space, response["values"]))
    return found


def test_the_default_space_is_the_table_of_the_documentation() -> None:
    assert read_space(None) == default_space()
    expected = {
        "head_units": Dimension(choices=(0, 64, 128, 256, 512)),
        "dropout": Dimension(low=0.0, high=0.6),
        "unfreeze_depth": Dimension(choices=(0, 1, 2, 3)),
        "head_learning_rate": Dimension(low=1e-5, high=1e-2, log=True),
        "fine_tune_learning_rate": Dimension(low=1e-6, high=1e-4, log=True),
        "image_size": Dimension(choices=(112,)),
        "feature_layers": Dimension(choices=("block5", "block4+5")),
        "feature_scaling": Dimension(choices=("square-root",)),
    }
    assert expected == default_space()
    assert list(default_space()) == [h.name for h in HYPERPARAMETERS if not h.optional]


def test_reading_a_file_does_not_change_the_defaults(tmp_path: Path) -> None:
    read_space(written(tmp_path, "dropout = 0.5"))
    read_space(None).pop("dropout")
    assert read_space(None)["dropout"] == Dimension(low=0.0, high=0.6)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("head_units = [0, 256]", Dimension(choices=(0, 256))),
        ("head_units = 64", Dimension(choices=(64,))),
        ("head_units = { min = 7, max = 9 }", Dimension(choices=(7, 8, 9))),
        ("dropout = { min = 0, max = 0.95 }", Dimension(low=0.0, high=0.95)),
        ("dropout = { min = 0.1, max = 0.5, log = true }", Dimension(low=0.1, high=0.5, log=True)),
        ("dropout = 0", Dimension(choices=(0.0,))),
        ("unfreeze_depth = { min = 0, max = 13 }", Dimension(choices=tuple(range(14)))),
        ("unfreeze_depth = 13", Dimension(choices=(13,))),
        ("head_learning_rate = { min = 1e-4, max = 1 }", Dimension(low=1e-4, high=1.0, log=True)),
        (
            "fine_tune_learning_rate = { min = 1e-6, max = 1e-5, log = false }",
            Dimension(low=1e-6, high=1e-5),
        ),
    ],
)
def test_a_file_narrows_widens_or_fixes(line: str, expected: Dimension, tmp_path: Path) -> None:
    name = line.split(" ")[0]
    assert read_space(written(tmp_path, line)) == default_space() | {name: expected}


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
    assert caught.value.parameter == "space"
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
def test_a_file_that_is_invalid_or_missing_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"space\.toml cannot be read"):
        read_space(path)


def test_the_fine_tuning_learning_rate_is_active_exactly_above_unfreeze_depth_0() -> None:
    trials = drawn(default_space())
    for hyperparameters in trials:
        assert ("fine_tune_learning_rate" in hyperparameters) == (
            hyperparameters["unfreeze_depth"] > 0
        )
        configuration_of(hyperparameters)
    depths = {hyperparameters["unfreeze_depth"] for hyperparameters in trials}
    assert depths == {0, 1, 2, 3}


@pytest.mark.parametrize("depth", [0, 2])
def test_a_fixed_unfreeze_depth_decides_whether_the_fine_tuning_learning_rate_is_active(
    depth: int,
) -> None:
    trials = drawn(default_space() | {"unfreeze_depth": Dimension(choices=(depth,))}, 20)
    assert all(
        ("fine_tune_learning_rate" in hyperparameters) == (depth > 0) for hyperparameters in trials
    )
    assert {hyperparameters["unfreeze_depth"] for hyperparameters in trials} == {depth}


def test_every_draw_is_within_its_range_and_whole_where_it_must_be() -> None:
    trials = drawn(default_space())
    for name, dimension in default_space().items():
        values = [hyperparameters[name] for hyperparameters in trials if name in hyperparameters]
        if dimension.choices:
            assert set(values) <= set(dimension.choices)
            assert {type(value) for value in values} == {type(dimension.choices[0])}
        else:
            assert all(dimension.low <= value <= dimension.high for value in values)
    rates = sorted(hyperparameters["head_learning_rate"] for hyperparameters in trials)
    assert 1e-4 < rates[50] < 1e-3  # the middle of 1e-5 to 1e-2 on a log scale is 3e-4


def test_hyperparameters_are_in_the_order_of_the_space_without_the_tuners_own() -> None:
    hyperparameters = drawn(default_space(), 5)[0]
    assert [name for name in default_space() if name in hyperparameters] == list(hyperparameters)
    given = {
        "tuner/epochs": 4,
        "dropout": 0.1,
        "unfreeze_depth": 0,
        "fine_tune_learning_rate": 1e-5,
    }
    space = {name: default_space()[name] for name in ("dropout", "unfreeze_depth")}
    assert hyperparameters_of(space, given) == {"dropout": 0.1, "unfreeze_depth": 0}


def test_a_configuration_takes_the_hyperparameters_that_it_has() -> None:
    hyperparameters = {
        "head_units": 8,
        "dropout": 0.1,
        "unfreeze_depth": 0,
        "head_learning_rate": 1e-3,
        "label_noise": 0.1,
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
def test_the_size_counts_the_fine_tuning_learning_rate_only_where_it_is_active(
    depths: tuple[int, ...], rates: tuple[float, ...], size: float
) -> None:
    space: Space = {
        "head_units": Dimension(choices=(0, 8, 16)),
        "dropout": Dimension(choices=(0.0, 0.5)),
        "unfreeze_depth": Dimension(choices=depths),
        "head_learning_rate": Dimension(choices=(1e-3,)),
        "fine_tune_learning_rate": Dimension(choices=rates)
        if rates
        else default_space()["fine_tune_learning_rate"],
    }
    assert size_of(space) == size
    assert size_of(default_space()) == math.inf
    varied = {declared.name for declared in declare(space).space}
    assert varied == {name for name, d in space.items() if len(d.choices) != 1} - (
        {"fine_tune_learning_rate"} if depths == (0,) else set()
    )


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeffunfreeze_depth = 3\n")
    assert read_space(path)["unfreeze_depth"] == Dimension(choices=(3,))


@pytest.mark.parametrize("value", ["'3'", "[0, '3']"])
def test_a_number_in_quotes_is_named_as_text(value: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a whole number .*; received the text '3'\n"):
        read_space(written(tmp_path, f"unfreeze_depth = {value}\n"))
