"""Cross-validation: folds trained at once or one by one, mean scores and standard errors."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from random_features import RandomFeatures, configuration
from shared_networks import small_network

from concrete_study.datasets.errors import DataError
from concrete_study.datasets.folds import make_folds
from concrete_study.datasets.splits import SplitRow
from concrete_study.models.batch_sources import Batch, JoinedSource, PartSource
from concrete_study.models.parallel_heads import train_heads
from concrete_study.models.recipe import predict
from concrete_study.models.trainable import Network
from concrete_study.results.records import Epoch
from concrete_study.search.cross_validation import (
    CrossValidated,
    FoldSources,
    cross_validate,
    standard_error,
)
from concrete_study.search.training import DivergedError, train


@pytest.fixture(scope="module")
def network() -> Network:
    return small_network()


def rows(groups: int, repeats: int = 2) -> list[SplitRow]:
    """Two classes, and as many groups of each, of several images."""
    return [
        SplitRow(
            f"{label}/{group}-{number}.jpg", label, "train", f"{label}{group}", f"{group}{number}"
        )
        for label in ("no", "yes")
        for group in range(groups)
        for number in range(repeats)
    ]


def test_folds_hold_every_image_once_and_never_divide_a_group() -> None:
    images = rows(7)
    folds = make_folds(images, folds=3, seed=1)
    validated = np.concatenate([fold.validation for fold in folds])
    assert sorted(validated) == list(range(len(images)))
    for fold in folds:
        assert sorted([*fold.train, *fold.validation]) == list(range(len(images)))
        inside, outside = (
            {(images[n].label, images[n].group) for n in part}
            for part in (fold.validation, fold.train)
        )
        assert not inside & outside
        assert {label for label, _ in inside} == {"no", "yes"}
    other = make_folds(images, folds=3, seed=2)
    assert any(not np.array_equal(a.train, b.train) for a, b in zip(folds, other, strict=True))


def test_more_folds_than_groups_of_a_class_are_refused() -> None:
    with pytest.raises(DataError, match="at least 4 groups of each class; no has 3"):
        make_folds(rows(3), folds=4, seed=1)


def sources(folds: int, sizes: tuple[int, ...] = (20, 9)) -> list[FoldSources]:
    """Folds of 29 images in two stores, of unequal size."""
    whole = JoinedSource([RandomFeatures(count, seed) for seed, count in enumerate(sizes)])
    numbers = np.random.default_rng(1).permutation(sum(sizes))
    parts = np.array_split(numbers, folds)
    return [
        FoldSources(PartSource(whole, np.setdiff1d(numbers, part)), PartSource(whole, part))
        for part in parts
    ]


@pytest.mark.parametrize(
    ("scaling", "balanced"), [("none", False), ("standardised", False), ("none", True)]
)
def test_heads_that_are_trained_at_once_equal_heads_that_are_trained_alone(
    network: Network, scaling: str, balanced: bool
) -> None:
    tried, folds = replace(configuration(0), feature_scaling=scaling), sources(3)
    counts = [np.bincount(fold.training.subset.labels).tolist() for fold in folds]
    assert any(first != second for first, second in counts)  # so that weights differ by fold
    together = cross_validate(
        network, tried, folds, epochs=3, seeds=[4], batch_size=8, balanced=balanced
    )
    largest = max(len(fold.training.subset) for fold in folds)
    for fold, predicted in zip(folds, together.probabilities, strict=True):
        assert len(predicted) == len(fold.validation.subset)
        if len(fold.training.subset) == largest:  # no image of an epoch comes again
            alone = train(
                network,
                tried,
                epochs=together.best_epoch,
                training=fold.training,
                validation=fold.validation,
                seed=4,
                batch_size=8,
                balanced=balanced,
            )
            truth = predicted[np.arange(len(predicted)), fold.validation.subset.labels]
            loss = -np.log(np.maximum(truth, 1e-7)).mean()
            assert loss == pytest.approx(alone.curve[-1].val_loss, rel=1e-4)


@pytest.mark.parametrize("kept", [True, False])
def test_heads_at_once_predict_shifted_images_as_each_head_alone(
    network: Network, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit, in batches of unequal size, with validation features in memory or not."""
    if not kept:
        monkeypatch.setattr("concrete_study.models.parallel_heads.MAX_KEPT_ROWS", 0)
    folds, shifted = sources(3), sources(3, (19, 10))
    trained = train_heads(
        network,
        configuration(0),
        epochs=2,
        training=[fold.training for fold in folds],
        validation=[(a.validation, b.validation) for a, b in zip(folds, shifted, strict=True)],
        seeds=[1, 1, 1],
        batch_size=4,
    )
    for epochs in trained:
        for epoch, fold, other in zip(epochs, folds, shifted, strict=True):
            assert_array_equal(epoch.probabilities, predict(epoch.trainable, fold.validation, 4))
            (under_shift,) = epoch.shifted
            assert_array_equal(under_shift, predict(epoch.trainable, other.validation, 4))


class FromBackbone(RandomFeatures):
    """Features as the backbone's weights are, like those that are not stored."""

    def __init__(self, network: Network, count: int, seed: int) -> None:
        super().__init__(count, seed)
        self._network = network

    def batches(
        self, layers: tuple[str, ...], *, epoch: int, order: NDArray[np.int64], batch_size: int
    ) -> Iterator[Batch]:
        bias = self._network.backbone.get_layer("block5_conv3").bias.numpy().mean()
        for features, labels in super().batches(
            layers, epoch=epoch, order=order, batch_size=batch_size
        ):
            yield tuple(array + bias for array in features), labels


def test_heads_do_not_depend_on_an_earlier_trial_that_trained_the_backbone(
    network: Network,
) -> None:
    source = FromBackbone(network, 20, 1)
    first, second = (PartSource(source, np.arange(20)[half::2]) for half in (0, 1))
    folds = [FoldSources(first, second), FoldSources(second, first)]

    def curve() -> list[Epoch]:
        return cross_validate(network, configuration(0), folds, epochs=1, seeds=[1]).curve

    before = curve()
    bias = network.backbone.get_layer("block5_conv3").bias
    bias.assign(np.full(bias.shape, 3.0))
    assert curve() == before


def test_a_single_fold_equals_a_training_alone(network: Network) -> None:
    (fold, *_) = sources(3)
    for depth in (0, 1):
        found = cross_validate(network, configuration(depth), [fold], epochs=2, seeds=[3])
        alone = train(
            network,
            configuration(depth),
            epochs=2,
            training=fold.training,
            validation=fold.validation,
            seed=3,
        )
        assert found.curve == alone.curve
        assert (found.best_epoch, found.standard_error) == (alone.best_epoch, None)


def test_scores_are_means_over_folds_with_their_standard_error(network: Network) -> None:
    folds = sources(3)
    epochs: list[Epoch] = []
    found = cross_validate(
        network, configuration(1), folds, epochs=2, seeds=[3], on_epoch=epochs.append
    )
    assert found.curve == epochs
    losses = []
    for fold, predicted in zip(folds, found.probabilities, strict=True):
        truth = predicted[np.arange(len(predicted)), fold.validation.subset.labels]
        losses.append(-np.log(np.maximum(truth, 1e-7)).mean())
    best = found.curve[found.best_epoch - 1]
    assert best.val_loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert found.standard_error == pytest.approx(np.std(losses, ddof=1) / 3**0.5, rel=1e-4)


def test_the_standard_error_is_that_of_folds_or_of_repeats() -> None:
    assert standard_error(np.array([[0.1]])) is None
    assert standard_error(np.array([[0.1], [0.3]])) == pytest.approx(0.1)
    assert standard_error(np.array([[0.1, 0.3], [0.3, 0.5]])) == pytest.approx(0.1)


def test_repeats_have_other_seeds(network: Network) -> None:
    def found(*seeds: int) -> CrossValidated:
        return cross_validate(network, configuration(0), sources(2), epochs=1, seeds=seeds)

    first, second, both = found(1), found(2), found(1, 2)
    assert first.curve[0].val_loss != second.curve[0].val_loss
    mean = (first.curve[0].val_loss + second.curve[0].val_loss) / 2
    assert both.curve[0].val_loss == pytest.approx(mean, rel=1e-5)


def test_a_fold_that_diverges_ends_the_trial(network: Network) -> None:
    folds = sources(2)
    broken = RandomFeatures(20, 1)
    for array in broken.features.values():
        array *= np.nan
    with pytest.raises(DivergedError, match="epoch 1"):
        cross_validate(
            network,
            configuration(0),
            [folds[0], FoldSources(broken, folds[1].validation)],
            epochs=2,
            seeds=[1],
        )
