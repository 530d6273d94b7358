"""Calibration: changes of predicted probabilities that are fitted to labelled images.

Each is a factor and an offset per class of the logits, so that it can be folded into the weights
of the output layer.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

HOTTEST = 100.0  # the highest temperature; at 100 a logit difference of 16 is a probability of 0.54
# Standard deviations of the prior of `fit_scaling`, in nats: of the slope's logarithm, and of an
# offset. A slope of 0.05 to 20 or an offset of 9 costs as much as one misclassified image does.
SLOPE_DEVIATION, OFFSET_DEVIATION = 1.0, 3.0
_SMALLEST = np.finfo(np.float32).tiny  # keeps the logarithm of a probability of 0 finite
Floats = NDArray[np.floating]
Labels = NDArray[np.integer]
Weights = NDArray[np.float32]


class Scaling(NamedTuple):
    """New logits are `slope` times the old ones plus `offsets`."""

    slope: float  # above 0
    offsets: tuple[float, ...]  # of each class

    @classmethod
    def of_temperature(cls, temperature: float, classes: int) -> "Scaling":
        """Logits divided by a temperature; at 1 they stay as they are."""
        return cls(1 / temperature, (0.0,) * classes)

    def apply(self, probabilities: Floats) -> NDArray[np.float64]:
        """The new probabilities, shape (images, classes), of the old ones."""
        logits = log_probabilities(probabilities)
        scaled: NDArray[np.float64] = softmax(self.slope * logits + np.array(self.offsets), axis=1)
        return scaled

    def of_layer(self, kernel: Weights, bias: Weights) -> tuple[Weights, Weights]:
        """Kernel and bias of the output layer that has the new logits."""
        slope = np.float32(self.slope)
        return kernel * slope, bias * slope + np.array(self.offsets, np.float32)


def log_probabilities(probabilities: Floats) -> NDArray[np.float64]:
    """Logits of some probabilities: their logarithms."""
    return np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST))


def fit_temperature(probabilities: Floats, labels: Labels) -> float:
    """The temperature by which logits are divided to get the lowest log loss.

    Targets are Platt's: of n images of a class, the class has the probability (n + 1) / (n + 2)
    instead of 1. Images that are all classified correctly then limit the confidence to what their
    number bears out, where 0 and 1 would bear out any.

    Args:
        probabilities: Of the same images in several versions, shape (versions, images, classes).
        labels: The index of each image's class, shape (images,).

    Returns:
        From 1 to `HOTTEST`. Below 1 confidence would grow, which images of one place never
        justify for another.

    Source: Guo et al., "On calibration of modern neural networks", ICML 2017; Platt (1999),
    "Probabilistic outputs for support vector machines".
    """
    logits = log_probabilities(probabilities)
    images, classes = logits.shape[1:]
    count = np.bincount(labels, minlength=classes)[labels]
    targets = np.repeat(1 / (count + 2) / (classes - 1), classes).reshape(images, classes)
    targets[np.arange(images), labels] = (count + 1) / (count + 2)

    def loss(log_temperature: float) -> float:
        log_p = log_softmax(logits / np.exp(log_temperature), axis=2)
        return -float((targets * log_p).sum(axis=2).mean())

    found = minimize_scalar(loss, bounds=(0.0, np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def fit_scaling(probabilities: Floats, labels: Labels) -> Scaling:
    """Slope and offsets of the logits, with a prior towards no change.

    The prior is normal: it decides if there are few images, or if a threshold separates their
    classes, where the likelihood alone has no maximum.

    Args:
        probabilities: Shape (images, classes).
        labels: The index of each image's class, shape (images,).

    Source: Platt (1999), "Probabilistic outputs for support vector machines".
    """
    logits = log_probabilities(probabilities)
    images, classes = logits.shape

    def cost(parameters: NDArray[np.float64]) -> float:
        log_slope, offsets = parameters[0], parameters[1:]
        log_p = log_softmax(np.exp(log_slope) * logits + offsets, axis=1)
        prior = (log_slope / SLOPE_DEVIATION) ** 2 + np.sum((offsets / OFFSET_DEVIATION) ** 2)
        return float(prior / 2 - log_p[np.arange(images), labels].sum())

    log_slope, *offsets = minimize(cost, np.zeros(1 + classes), method="BFGS").x
    return Scaling(float(np.exp(log_slope)), tuple(map(float, offsets)))
