"""The recipe: how it divides epochs into phases, and what training depends on."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from random_features import RandomFeatures, configuration
from shared_networks import small_network
from sklearn.utils.class_weight import compute_class_weight

from concrete_study.models.batch_sources import UNAUGMENTED, Batch
from concrete_study.models.configuration import Architecture
from concrete_study.models.recipe import (
    DEFAULT_BATCH_SIZE,
    balanced_weights,
    initialize,
    plan_phases,
    predict,
    train_epochs,
)
from concrete_study.models.trainable import Network, TrainablePart
from concrete_study.results.statistics import log_loss


class RecordingFeatures(RandomFeatures):
    """Records what is asked of it, and gives random features."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__(count, seed)
        self.asked: list[tuple[tuple[str, ...], int, list[int], int]] = []

    def batches(
        self, layers: tuple[str, ...], *, epoch: int, order: NDArray[np.int64], batch_size: int
    ) -> Iterator[Batch]:
        self.asked.append((layers, epoch, order.tolist(), batch_size))
        return super().batches(layers, epoch=epoch, order=order, batch_size=batch_size)


@pytest.fixture(scope="module")
def network() -> Network:
    return small_network()


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
    assert [phase.unfreeze_depth for phase in phases] == [0, depth][: len(phases)]
    assert [phase.learning_rate for phase in phases] == [1e-3, 1e-5][: len(phases)]


def test_no_epochs_is_refused() -> None:
    with pytest.raises(ValueError, match="epochs=0"):
        plan_phases(configuration(0), 0)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    labels = np.array([0] * 7 + [1] * 2 + [2], np.int32)
    subset = replace(RandomFeatures(10, 1).subset, labels=labels, classes=["a", "b", "c"])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(balanced_weights(subset), expected)
    absent = replace(subset, classes=["a", "b", "c", "d"])
    np.testing.assert_allclose(balanced_weights(absent)[:3], expected)


@pytest.mark.parametrize("depth", [0, 1])
def test_class_weights_change_the_training_but_not_how_losses_are_counted(
    depth: int, network: Network
) -> None:
    training = RandomFeatures(12, 1)
    training.subset = replace(training.subset, labels=np.array([0] * 9 + [1] * 3, np.int32))
    tried, losses = replace(configuration(depth, rate=1e-2), dropout=0.0), {}
    for balanced in (False, True):
        epochs = train_epochs(
            network,
            tried,
            epochs=2,
            training=training,
            validation=RandomFeatures(4, 2),
            seed=1,
            batch_size=12,
            balanced=balanced,
        )
        losses[balanced] = [(epoch.loss, epoch.probabilities.mean(0)[1]) for epoch in epochs]
    # The first step's loss is of the initial weights, whatever the gradient.
    assert losses[True][0][0] == pytest.approx(losses[False][0][0], rel=1e-6)
    assert losses[True][1][1] > losses[False][1][1]  # more weight on the rare class


def test_each_epoch_is_yielded_before_the_next_one_begins(network: Network) -> None:
    initial = initialize(network, configuration(1), RandomFeatures(4, 1), seed=1)
    weights, epochs = [initial["probabilities"][0]], []
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
        weights.append(trained.trainable.weights()["probabilities"][0])
    assert epochs == [(1, 1, 0), (2, 1, 0), (3, 2, 1)]
    assert all(not np.array_equal(one, other) for one, other in pairwise(weights))


def test_each_epoch_has_its_own_order_and_the_validation_images_keep_theirs(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, validation = RecordingFeatures(20, 1), RecordingFeatures(9, 2)
    step, taken = TrainablePart.step, []

    def record(self: TrainablePart, *given: Any) -> Any:
        taken.append(given[-1][:3])
        return step(self, *given)

    monkeypatch.setattr(TrainablePart, "step", record)
    options: Any = {"epochs": 3, "training": training, "validation": validation, "batch_size": 8}
    found = list(train_epochs(network, configuration(1), seed=3, **options))
    assert taken == [(0.2, 3, n) for n in range(9)]  # masks of dropout never repeat
    orders = [
        np.random.Generator(np.random.Philox(key=[3, epoch])).permutation(20).tolist()
        for epoch in (1, 2, 3)
    ]
    top, below = (network.trainable(Architecture(16, depth)).feature_layers for depth in (0, 1))
    layers = [top, top, below]
    assert training.asked == [(layers[n], n + 1, orders[n], 8) for n in range(3)]
    assert validation.asked == [(layer, UNAUGMENTED, list(range(9)), 8) for layer in layers]
    assert found[-1].probabilities.shape == (9, 2)
    assert found[-1].probabilities.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert DEFAULT_BATCH_SIZE == 32


def test_loss_and_accuracy_are_means_over_the_training_images(network: Network) -> None:
    """At a learning rate of 0 without dropout, training predicts as evaluation does."""
    training = RandomFeatures(20, 1)
    unchanged = replace(configuration(0, rate=0.0), dropout=0.0)
    (trained,) = train_epochs(
        network, unchanged, epochs=1, training=training, validation=training, seed=1, batch_size=8
    )
    labels = training.subset.labels
    assert trained.loss == pytest.approx(log_loss(trained.probabilities, labels), rel=1e-5)
    assert trained.accuracy == (trained.probabilities.argmax(axis=1) == labels).mean()
    assert np.array_equal(
        predict(trained.trainable, training, 5).argmax(1), trained.probabilities.argmax(1)
    )


def test_the_seed_draws_the_head_and_nothing_of_an_earlier_training_stays(network: Network) -> None:
    def head(seed: int) -> list[NDArray[np.float32]]:
        return initialize(network, configuration(1), RandomFeatures(4, 1), seed)["dense"]

    first = head(1)[0].copy()
    options: Any = {"training": RandomFeatures(8, 1), "validation": RandomFeatures(4, 2)}
    list(train_epochs(network, configuration(1), epochs=2, seed=5, **options))
    assert np.array_equal(head(1)[0], first)
    assert not np.array_equal(head(2)[0], first)
