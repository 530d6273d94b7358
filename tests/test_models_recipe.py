"""The recipe: how it divides epochs into phases, and what training depends on."""

from itertools import pairwise

import numpy as np
import pytest
from random_features import RandomFeatures, configuration, small_network

from concrete_study.models.recipe import initialize, plan_phases, train_epochs


@pytest.mark.parametrize(
    ("depth", "epochs", "expected"),
    [
        (3, 10, [(1, 5), (2, 5)]),
        (3, 7, [(1, 4), (2, 3)]),
        (1, 2, [(1, 1), (2, 1)]),
        (1, 1, [(1, 1)]),
        (0, 7, [(1, 7)]),
    ],
)
def test_phase_1_has_half_the_epochs_rounded_up(
    depth: int, epochs: int, expected: list[tuple[int, int]]
) -> None:
    phases = plan_phases(configuration(depth), epochs)
    assert [(phase.number, phase.epochs) for phase in phases] == expected


def test_no_epochs_is_refused() -> None:
    with pytest.raises(ValueError, match="epochs=0"):
        plan_phases(configuration(0), 0)


def test_each_epoch_is_yielded_before_the_next_one_begins() -> None:
    network = small_network()
    initial = initialize(network, configuration(1), seed=1)
    weights, epochs = [initial["dense"][0]], []
    for trained in train_epochs(
        network,
        configuration(1),
        epochs=3,
        training=RandomFeatures(20, 1),
        validation=RandomFeatures(8, 2),
        seed=1,
    ):
        epochs.append((trained.number, trained.phase.number, trained.phase.unfreeze_depth))
        assert trained.probabilities.shape == (8, 2)
        weights.append(trained.trainable.weights()["dense"][0])
    assert epochs == [(1, 1, 0), (2, 1, 0), (3, 2, 1)]
    assert all(not np.array_equal(one, other) for one, other in pairwise(weights))
