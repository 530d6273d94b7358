"""Training one configuration: what decides the result, the best epoch, and divergence."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from random_features import RandomFeatures, configuration
from shared_networks import small_network
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from concrete_study.models.batch_sources import Batch
from concrete_study.models.configuration import Architecture
from concrete_study.models.trainable import Network
from concrete_study.results.records import Epoch
from concrete_study.search.training import DivergedError, best_epoch, train


class BrokenSource(RandomFeatures):
    """Features are NaN from the second epoch on."""

    def batches(
        self, layers: tuple[str, ...], *, epoch: int, order: NDArray[np.int64], batch_size: int
    ) -> Iterator[Batch]:
        batches = super().batches(layers, epoch=epoch, order=order, batch_size=batch_size)
        for features, labels in batches:
            factor = math.nan if epoch > 1 else 1.0
            yield tuple(array * factor for array in features), labels


@pytest.fixture(scope="module")
def network() -> Network:
    return small_network()


def test_the_same_seed_gives_the_same_curve_and_another_seed_another(network: Network) -> None:
    def curve(seed: int) -> list[Epoch]:
        return train(
            network,
            configuration(1),
            epochs=3,
            training=RandomFeatures(20, 1),
            validation=RandomFeatures(8, 2),
            seed=seed,
        ).curve

    first = curve(1)
    curve(2)
    assert curve(1) == first != curve(2)
    assert [epoch.phase for epoch in first] == [1, 1, 2]


def test_training_is_independent_of_earlier_trials(network: Network) -> None:
    def curve(depth: int) -> list[Epoch]:
        return train(
            network,
            configuration(depth),
            epochs=2,
            training=RandomFeatures(20, 1),
            validation=RandomFeatures(8, 2),
            seed=1,
        ).curve

    alone = curve(2)
    curve(13)
    assert curve(2) == alone


def test_the_best_checkpoint_has_the_weights_of_the_best_epoch(network: Network) -> None:
    validation = RandomFeatures(8, 2)
    outcome = train(
        network,
        configuration(3, rate=0.05),
        epochs=6,
        training=RandomFeatures(20, 1),
        validation=validation,
        seed=1,
        on_outcome=lambda outcome: None,
    )
    assert list(outcome.checkpoints) == [
        "before_training",
        "after_phase_1",
        "after_phase_2",
        "best",
    ]
    network.restore()
    phase = outcome.curve[outcome.best_epoch - 1].phase
    trainable = network.trainable(Architecture(16, 3 if phase == 2 else 0))
    trainable.load(outcome.checkpoints["best"])
    probabilities = trainable.predict(
        tuple(validation.features[layer] for layer in trainable.feature_layers)
    )
    true_class = probabilities[np.arange(8), validation.subset.labels]
    loss = -np.log(np.maximum(true_class, 1e-7)).mean()
    assert loss == pytest.approx(min(e.val_loss for e in outcome.curve), rel=1e-5)


@pytest.mark.parametrize("positive_class", [None, "no", "yes"])
def test_an_epoch_has_the_scores_of_scikit_learn(
    network: Network, positive_class: str | None
) -> None:
    validation = RandomFeatures(40, 2)
    outcome = train(
        network,
        configuration(0),
        epochs=1,
        training=RandomFeatures(20, 1),
        validation=validation,
        seed=1,
        positive_class=positive_class,
    )
    labels, (epoch,) = validation.subset.labels, outcome.curve
    trainable = network.trainable(Architecture(16, 0))  # as the only epoch left it
    probabilities = trainable.predict(
        tuple(validation.features[layer] for layer in trainable.feature_layers)
    )
    number = 1 if positive_class is None else validation.subset.classes.index(positive_class)
    truth, score = labels == number, probabilities[:, number]
    assert epoch.val_roc_auc == pytest.approx(roc_auc_score(truth, score))
    assert epoch.val_average_precision == pytest.approx(average_precision_score(truth, score))
    balanced = balanced_accuracy_score(labels, probabilities.argmax(axis=1))
    assert epoch.val_balanced_accuracy == pytest.approx(balanced)


def test_ties_go_to_the_earlier_epoch() -> None:
    curve = [
        Epoch(
            epoch=number,
            phase=1,
            loss=0.5,
            accuracy=0.5,
            val_loss=loss,
            val_accuracy=0.9,
            val_macro_f1=f1,
        )
        for number, loss, f1 in ((1, 0.3, 0.8), (2, 0.2, 0.9), (3, 0.2, 0.9))
    ]
    assert best_epoch(curve, "val_loss") == 2
    assert best_epoch(curve, "val_accuracy") == 1
    assert best_epoch(curve, "val_macro_f1") == 2


def test_a_loss_that_is_not_finite_ends_training_and_keeps_the_curve(network: Network) -> None:
    with pytest.raises(DivergedError, match="epoch 2") as error:
        train(
            network,
            configuration(0),
            epochs=3,
            training=BrokenSource(20, 1),
            validation=RandomFeatures(8, 2),
            seed=1,
        )
    assert [epoch.epoch for epoch in error.value.curve] == [1]
