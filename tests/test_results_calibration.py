"""Temperature, slope and offsets: recovered from drawn labels, cautious where images are few."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from concrete_study.results.calibration import HOTTEST, Scaling, fit_scaling, fit_temperature
from concrete_study.results.statistics import log_loss

Floats = NDArray[np.float64]


def drawn(
    images: int, classes: int, true: Scaling, *, spread: float = 3.0
) -> tuple[Floats, NDArray[np.int64]]:
    """Probabilities of a model, and labels drawn from those after `true`."""
    random = np.random.default_rng(3)
    probabilities = softmax(random.normal(0, spread, (images, classes)), axis=1)
    ends = true.apply(probabilities).cumsum(axis=1)
    return probabilities, (random.random((images, 1)) > ends[:, :-1]).sum(axis=1)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_temperature_of_an_overconfident_model_is_recovered(classes: int) -> None:
    probabilities, labels = drawn(20_000, classes, Scaling(1 / 2.5, (0.0,) * classes))
    temperature = fit_temperature(probabilities[None], labels)
    assert temperature == pytest.approx(2.5, rel=0.05)
    losses = [
        log_loss(Scaling(1 / other, (0.0,) * classes).apply(probabilities), labels)
        for other in (temperature / 1.02, temperature, temperature * 1.02)
    ]
    assert losses[1] == min(losses)


def test_confidence_is_never_raised() -> None:
    probabilities, labels = drawn(5_000, 2, Scaling(3.0, (0.0, 0.0)))
    assert fit_temperature(probabilities[None], labels) == 1.0


def test_few_correct_images_bear_out_less_confidence_than_many() -> None:
    certain = np.array([[1e-6, 1 - 1e-6], [1 - 1e-6, 1e-6]])
    found = []
    for count in (5, 50, 500):
        labels = np.array([1, 0] * count)
        temperature = fit_temperature(np.tile(certain, (3, count, 1)), labels)
        found.append(temperature)
        share = Scaling(1 / temperature, (0.0, 0.0)).apply(certain)[0, 1]
        assert share == pytest.approx((count + 1) / (count + 2), abs=1e-4)
    assert found == sorted(found, reverse=True)


def test_predictions_no_better_than_chance_get_the_highest_temperature() -> None:
    labels = np.array([0, 1] * 20)
    wrong = np.eye(2)[1 - labels]
    assert fit_temperature(wrong[None], labels) == pytest.approx(HOTTEST, rel=1e-3)


@pytest.mark.parametrize("classes", [2, 3])
def test_slope_and_offsets_are_recovered(classes: int) -> None:
    true = Scaling(0.4, (0.5, -0.5, 0.0)[:classes])
    probabilities, labels = drawn(20_000, classes, true)
    found = fit_scaling(probabilities, labels)
    assert found.slope == pytest.approx(true.slope, rel=0.1)
    expected = np.array(true.offsets) - np.mean(true.offsets)
    np.testing.assert_allclose(found.offsets, expected, atol=0.1)


def test_few_images_change_little() -> None:
    probabilities = np.array([[0.3, 0.7], [0.8, 0.2]])
    found = fit_scaling(probabilities, np.array([1, 0]))
    assert 1 < found.slope < 3
    assert max(map(abs, found.offsets)) < 1


def test_separable_and_certain_images_give_finite_weights() -> None:
    for labels in ([0, 1] * 10, [0] * 20):
        found = fit_scaling(np.eye(2)[labels], np.array(labels))
        assert np.isfinite([found.slope, *found.offsets]).all()
        assert np.isfinite(found.apply(np.array([[0.0, 1.0], [0.5, 0.5]]))).all()
