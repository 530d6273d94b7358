import pytest

from concrete_study.datasets.errors import UsageError
from concrete_study.results.hyperparameters import (
    by_name,
    default_space,
    describe,
    reference_space,
)
from concrete_study.results.objectives import OBJECTIVES, find_objective


def test_a_configuration_is_described_with_short_names_and_rounded_values() -> None:
    values = {
        "head_units": 128,
        "dropout": 0.2149,
        "unfreeze_depth": 2,
        "head_learning_rate": 0.00196,
        "fine_tune_learning_rate": 3.04e-5,
    }
    assert describe(values) == (
        "head units 128, dropout 0.21, unfreeze depth 2, head LR 2.0e-3, FT LR 3.0e-5"
    )
    assert describe({"rotation": 0.25}) == "rotation 0.25"


def test_labels_are_words() -> None:
    known = by_name()
    assert known["head_learning_rate"].label == "head learning rate"
    assert known["fine_tune_learning_rate"].label == "fine-tuning learning rate"


def test_every_default_and_reference_value_is_within_its_bounds() -> None:
    for space in (default_space(), reference_space()):
        for name, dimension in space.items():
            known = by_name()[name]
            if known.names:
                assert set(dimension.choices) <= set(known.names)
                continue
            ends = [float(end) for end in dimension.choices or (dimension.low, dimension.high)]
            assert known.lowest <= min(ends) <= max(ends) <= known.highest
            assert not known.integer or all(isinstance(value, int) for value in dimension.choices)


def test_a_hyperparameter_is_active_only_above_0_of_the_one_it_requires() -> None:
    conditional = by_name()["fine_tune_learning_rate"]
    assert conditional.is_active({"unfreeze_depth": 1})
    assert not conditional.is_active({"unfreeze_depth": 0})
    assert by_name()["dropout"].is_active({"unfreeze_depth": 0})


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_direction_of_an_objective_decides_cost_and_best(name: str) -> None:
    objective = find_objective(name)
    lower_is_better = name in ("val_loss", "val_shifted_loss")
    assert objective.best([0.4, 0.1, 0.9]) == (0.1 if lower_is_better else 0.9)
    assert (objective.cost(0.1) < objective.cost(0.9)) == lower_is_better


def test_an_unknown_objective_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="'loss' is unknown") as caught:
        find_objective("loss")
    assert caught.value.parameter == "objective"
