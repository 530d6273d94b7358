"""Which method is chosen: none for labels that say nothing, more only where the labels bear it."""

import numpy as np
import pytest

from concrete_study.results.label_shift import estimate_shares
from concrete_study.study.adaptation_methods import (
    NONE,
    REFIT,
    SCALING,
    Images,
    OutputLayer,
    choose,
    methods,
)

WIDTH = 6
LAYER = OutputLayer(np.eye(WIDTH, 2, dtype=np.float32) * 2, np.zeros(2, np.float32))


def drawn(images: int, layer: OutputLayer, *, seed: int = 0) -> Images:
    """Images whose classes are drawn by the probabilities of a layer."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(images, WIDTH)).astype(np.float32)
    positive = random.random(images) < layer.probabilities(features)[:, 1]
    return Images(features, positive.astype(np.int64), [f"{number}" for number in range(images)])


def loss_of(layer: OutputLayer, images: Images) -> float:
    p = layer.probabilities(images.features)[np.arange(len(images.labels)), images.labels]
    return float(-np.log(p).mean())


def moved(offset: float, slope: float = 1.0) -> OutputLayer:
    return OutputLayer(LAYER.kernel * slope, LAYER.bias + np.array([0, offset], np.float32))


def test_labels_that_the_model_predicts_well_change_little() -> None:
    site, others = drawn(40, LAYER), drawn(2000, LAYER, seed=9)
    found = methods(LAYER, None)
    choice = choose(found, site, 2, seed=1)
    assert choice.method == SCALING
    before, after = loss_of(LAYER, others), loss_of(found[SCALING](site).layer, others)
    assert after < before + 0.05


def test_random_labels_take_confidence_away() -> None:
    random = np.random.default_rng(2)
    site = drawn(20, LAYER)._replace(labels=random.permutation([0, 1] * 10))
    found = methods(LAYER, drawn(200, LAYER, seed=5))
    choice = choose(found, site, 2, seed=1)
    assert choice.losses[choice.method] < choice.losses[NONE]
    assert choice.losses[SCALING] < 0.8


def test_a_wrong_offset_is_corrected_by_few_labels() -> None:
    confident = moved(4.0, 3.0)
    site, others = drawn(20, LAYER), drawn(2000, LAYER, seed=9)
    found = methods(confident, None)
    choice = choose(found, site, 2, seed=1)
    assert choice.method == SCALING
    layer, scaling = found[SCALING](site)
    assert scaling is not None
    before, after = loss_of(confident, others), loss_of(layer, others)
    assert after < 0.7 * before
    np.testing.assert_allclose(
        layer.probabilities(others.features),
        scaling.apply(confident.probabilities(others.features)),
        atol=1e-5,
    )


def test_a_site_that_needs_other_features_gets_a_refitted_layer() -> None:
    other = OutputLayer(np.eye(WIDTH, 2, k=-3, dtype=np.float32) * 4, LAYER.bias)
    site, old = drawn(150, other), drawn(150, LAYER, seed=4)
    assert choose(methods(LAYER, old), site, 2, seed=1).method == REFIT


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_other_proportions_of_classes_are_estimated(share: float) -> None:
    layer = moved(0.0, 2.0)
    source = drawn(3000, layer, seed=6)
    pool = drawn(6000, layer, seed=7)
    positive = np.flatnonzero(pool.labels == 1)[: int(2000 * share)]
    negative = np.flatnonzero(pool.labels == 0)[: 2000 - len(positive)]
    target = pool.select(np.concatenate([positive, negative]))
    found = estimate_shares(
        layer.probabilities(target.features), layer.probabilities(source.features), source.labels
    )
    assert found.by_maximum[1] == pytest.approx(share, abs=0.05)
    assert found.by_confusion[1] == pytest.approx(share, abs=0.08)
    assert found.is_trusted


def test_images_that_differ_in_more_than_proportions_are_not_trusted() -> None:
    layer = moved(0.0, 2.0)
    source = drawn(1000, layer, seed=6)
    blurred = drawn(500, layer, seed=7).features * 0.2
    found = estimate_shares(
        layer.probabilities(blurred), layer.probabilities(source.features), source.labels
    )
    assert not found.is_trusted
