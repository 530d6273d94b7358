"""Which method is chosen: two numbers for few labels, a new head where the labels bear it."""

import numpy as np
import pytest

from concrete_study.results.calibration import Scaling
from concrete_study.results.label_shift import estimate_shares
from concrete_study.study.adaptation_methods import (
    HEAD,
    NONE,
    SCALING,
    Adapted,
    Head,
    Images,
    choose,
    fit_methods,
)

WIDTH = 6
MODEL = Head(np.eye(WIDTH, 2, dtype=np.float32) * 2, np.zeros(2, np.float32))
UNCHANGED = Adapted(Scaling(1.0, (0.0, 0.0)))


def drawn(images: int, truth: Head, *, seed: int = 0, model: Head | None = None) -> Images:
    """Images whose classes are drawn by the probabilities of a head; the model's is another."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(images, WIDTH)).astype(np.float32)
    positive = random.random(images) < truth.probabilities(features)[:, 1]
    predicted = (model or truth).probabilities(features).astype(np.float32)
    groups = [f"{number}" for number in range(images)]
    return Images(predicted, features, positive.astype(np.int64), groups)


def loss_of(adapted: Adapted, images: Images) -> float:
    p = adapted.probabilities(images)[np.arange(len(images.labels)), images.labels]
    return float(-np.log(p).mean())


def moved(offset: float, slope: float = 1.0) -> Head:
    return Head(MODEL.kernel * slope, MODEL.bias + np.array([0, offset], np.float32))


def test_labels_that_the_model_predicts_well_change_little() -> None:
    site, others = drawn(40, MODEL), drawn(2000, MODEL, seed=9)
    fits = fit_methods(site, None, seed=1)
    assert choose(fits, site.labels) == SCALING
    before, after = loss_of(UNCHANGED, others), loss_of(fits[SCALING].adapted, others)
    assert after < before + 0.05


def test_random_labels_take_confidence_away() -> None:
    random = np.random.default_rng(2)
    site = drawn(20, MODEL)._replace(labels=random.permutation([0, 1] * 10))
    fits = fit_methods(site, drawn(200, MODEL, seed=5), seed=1)
    assert fits[choose(fits, site.labels)].loss < fits[NONE].loss
    assert fits[SCALING].loss < 0.8


def test_a_wrong_offset_is_corrected_by_few_labels() -> None:
    confident = moved(4.0, 3.0)
    site = drawn(20, MODEL, model=confident)
    others = drawn(2000, MODEL, seed=9, model=confident)
    fits = fit_methods(site, None, seed=1)
    assert loss_of(fits[SCALING].adapted, others) < 0.7 * loss_of(UNCHANGED, others)
    layer = Head(*fits[SCALING].adapted.scaling.of_layer(*confident))
    np.testing.assert_allclose(
        layer.probabilities(others.features),
        fits[SCALING].adapted.probabilities(others),
        atol=1e-5,
    )


def test_a_site_that_needs_other_features_gets_a_new_head() -> None:
    truth = Head(np.eye(WIDTH, 2, k=-3, dtype=np.float32) * 4, MODEL.bias)
    site, old = drawn(150, truth, model=MODEL), drawn(150, MODEL, seed=4)
    others = drawn(2000, truth, seed=9, model=MODEL)
    fits = fit_methods(site, old, seed=1)
    assert choose(fits, site.labels) == HEAD
    assert loss_of(fits[HEAD].adapted, others) < loss_of(fits[SCALING].adapted, others)


def test_images_of_a_group_are_predicted_by_a_head_that_saw_none_of_them() -> None:
    one = drawn(12, MODEL, seed=3)
    random = np.random.default_rng(3)
    repeated = np.tile(np.arange(12), 4)
    labels = np.tile(random.permutation([0, 1] * 6), 4)  # random, so only the group could tell
    site = one.select(repeated)._replace(labels=labels)
    fits = fit_methods(site, drawn(50, MODEL, seed=4), seed=1)
    assert fits[HEAD].loss > np.log(2) - 0.05


def test_three_classes_are_adapted_to() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(90, WIDTH)).astype(np.float32)
    labels = features[:, :3].argmax(1)
    p = np.full((90, 3), 1 / 3, np.float32)
    images = Images(p, features, labels.astype(np.int64), [f"{n}" for n in range(90)])
    fits = fit_methods(images, images, seed=0)
    assert choose(fits, images.labels) == HEAD
    assert fits[HEAD].probabilities.shape == (90, 3)
    assert loss_of(fits[HEAD].adapted, images) < 0.8


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_other_proportions_of_classes_are_estimated(share: float) -> None:
    model = moved(0.0, 2.0)
    source = drawn(3000, model, seed=6)
    pool = drawn(6000, model, seed=7)
    positive = np.flatnonzero(pool.labels == 1)[: int(2000 * share)]
    negative = np.flatnonzero(pool.labels == 0)[: 2000 - len(positive)]
    target = pool.select(np.concatenate([positive, negative]))
    found = estimate_shares(target.probabilities, source.probabilities, source.labels)
    assert found.by_maximum[1] == pytest.approx(share, abs=0.05)
    assert found.by_confusion[1] == pytest.approx(share, abs=0.08)
    assert found.is_trusted


def test_images_that_differ_in_more_than_proportions_are_not_trusted() -> None:
    model = moved(0.0, 2.0)
    source = drawn(1000, model, seed=6)
    blurred = drawn(500, model, seed=7).features * 0.2
    found = estimate_shares(model.probabilities(blurred), source.probabilities, source.labels)
    assert not found.is_trusted
