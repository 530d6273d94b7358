"""How an output layer is fitted to a few labelled images of another site, and which way is chosen.

Every method gives a new output layer: the rest of the network stays as it is, and an image needs
one forward pass however many fits there are.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from concrete_study.datasets.folds import Fold, split_groups
from concrete_study.results.calibration import Scaling, fit_scaling
from concrete_study.results.statistics import EPSILON

NONE, SCALING, REFIT = "none", "slope and offset", "refitted output layer"
FOLDS, REPEATS = 5, 5
# The site's images together count this many times as much as the study's training images.
SITE_SHARE = 1.0
REFIT_STRENGTH = 0.01  # scikit-learn's C, for standardised features


class Images(NamedTuple):
    """What the output layer reads of some images, and their classes."""

    features: NDArray[np.float32]  # (images, width)
    labels: NDArray[np.int64]  # the index of each image's class, shape (images,)
    groups: Sequence[str]

    def select(self, rows: NDArray[np.int64]) -> "Images":
        """Some of the images."""
        return Images(self.features[rows], self.labels[rows], [self.groups[row] for row in rows])


class OutputLayer(NamedTuple):
    """A dense layer with softmax."""

    kernel: NDArray[np.float32]  # (width, classes)
    bias: NDArray[np.float32]  # (classes,)

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Class probabilities (images, classes)."""
        logits = features.astype(np.float64) @ self.kernel.astype(np.float64) + self.bias
        found: NDArray[np.float64] = softmax(logits, axis=1)
        return found

    def scaled(self, scaling: Scaling) -> "OutputLayer":
        """The layer whose logits are scaled."""
        return OutputLayer(*scaling.of_layer(*self))


class Adapted(NamedTuple):
    """A new output layer; `scaling` is what it does to logits, if that is all it does."""

    layer: OutputLayer
    scaling: Scaling | None = None


Fit = Callable[[Images], Adapted]


class Choice(NamedTuple):
    """The method that cross-validation chose.

    Attributes:
        method: Its name.
        losses: Log loss of each method in nats, mean over images of the site that it was not
            fitted to.
        probabilities: Of the chosen method likewise, shape (images, classes).
    """

    method: str
    losses: dict[str, float]
    probabilities: NDArray[np.float64]


def methods(layer: OutputLayer, old: Images | None) -> dict[str, Fit]:
    """The methods by name, the simplest first.

    Args:
        layer: Of the model that is adapted.
        old: Training images of the study; None leaves out the methods that need them.
    """
    same = Scaling(1.0, (0.0,) * len(layer.bias))
    found: dict[str, Fit] = {
        NONE: lambda site: Adapted(layer, same),
        SCALING: lambda site: _scaled(layer, site),
    }
    return found if old is None else found | {REFIT: lambda site: _refitted(old, site)}


def _scaled(layer: OutputLayer, site: Images) -> Adapted:
    scaling = fit_scaling(layer.probabilities(site.features), site.labels)
    return Adapted(layer.scaled(scaling), scaling)


def _refitted(old: Images, site: Images) -> Adapted:
    """A logistic regression on old and new images together."""
    features = np.concatenate([old.features, site.features]).astype(np.float64)
    labels = np.concatenate([old.labels, site.labels])
    scaler = StandardScaler().fit(features)
    weight = SITE_SHARE * len(old.labels) / len(site.labels)
    weights = np.concatenate([np.ones(len(old.labels)), np.full(len(site.labels), weight)])
    model = LogisticRegression(C=REFIT_STRENGTH, max_iter=1000)
    model.fit(scaler.transform(features), labels, weights)
    kernel, bias = model.coef_.T, model.intercept_
    if kernel.shape[1] == 1:  # scikit-learn has one logit for two classes
        kernel, bias = np.hstack([-kernel / 2, kernel / 2]), np.array([-bias[0] / 2, bias[0] / 2])
    kernel = kernel / scaler.scale_[:, None]
    bias = bias - scaler.mean_ @ kernel
    return Adapted(OutputLayer(kernel.astype(np.float32), bias.astype(np.float32)))


def choose(found: Mapping[str, Fit], site: Images, classes: int, *, seed: int) -> Choice:
    """Chooses a method by grouped, stratified and repeated cross-validation on the site's images.

    The method of the lowest log loss is chosen, a simpler one if equal. The model as it is only
    serves for comparison: in the draws of 20 labels where cross-validation preferred it, slope and
    offset halved the loss, and their prior limits the harm (docs/decisions/027-adaptation.md).

    Args:
        found: From `methods`.
        site: Labelled images of the site, at least two groups of each class.
        classes: The number of classes.
        seed: Decides the folds.
    """
    shape = (REPEATS, len(site.labels), classes)
    predicted = {name: np.zeros(shape) for name in found}
    for repeat in range(REPEATS):
        for train, validation in _folds(site, seed + repeat):
            part = site.select(train)
            for name, fit in found.items():
                layer, _ = fit(part)
                predicted[name][repeat, validation] = layer.probabilities(site.features[validation])
    rows = np.arange(len(site.labels))
    surprise = {
        name: -np.log(np.clip(p[:, rows, site.labels], EPSILON, 1)).mean(axis=0)
        for name, p in predicted.items()
    }
    losses = {name: float(values.mean()) for name, values in surprise.items()}
    best = min((name for name in found if name != NONE), key=losses.__getitem__)
    return Choice(best, losses, predicted[best].mean(axis=0))


def _folds(site: Images, seed: int) -> list[Fold]:
    pairs = set(zip(site.labels.tolist(), site.groups, strict=True))
    fewest = min(Counter(label for label, _ in pairs).values())
    return split_groups(site.labels, site.groups, folds=min(FOLDS, fewest), seed=seed)
