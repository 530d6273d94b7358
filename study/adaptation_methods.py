"""What is fitted to a few labelled images of another site, and which way is chosen.

The backbone stays as it is, so an image needs one forward pass however many fits there are.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import sem
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from concrete_study.datasets.folds import Fold, split_groups
from concrete_study.results.calibration import Scaling, fit_scaling
from concrete_study.results.statistics import log_loss

NONE, SCALING, HEAD = "none", "slope and offset", "new head"
FOLDS, REPEATS = 5, 3
# The site's images together count as much as the study's training images.
SITE_SHARE = 1.0
STRENGTH = 0.01  # scikit-learn's C


class Images(NamedTuple):
    """Labelled images as the retrained model sees them."""

    probabilities: NDArray[np.float32]  # (images, classes)
    features: NDArray[np.float32]  # what a new head reads, shape (images, width)
    labels: NDArray[np.int64]  # the index of each image's class, shape (images,)
    groups: list[str]

    def select(self, rows: NDArray[np.int64]) -> "Images":
        """Some of the images."""
        groups = [self.groups[row] for row in rows]
        return Images(self.probabilities[rows], self.features[rows], self.labels[rows], groups)


class Head(NamedTuple):
    """A dense layer with softmax on the features."""

    kernel: NDArray[np.float32]  # (width, classes)
    bias: NDArray[np.float32]  # (classes,)

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Class probabilities (images, classes)."""
        logits = features.astype(np.float64) @ self.kernel.astype(np.float64) + self.bias
        found: NDArray[np.float64] = softmax(logits, axis=1)
        return found


class Adapted(NamedTuple):
    """Slope and offsets of the logits of the retrained model, or of a head in place of its own."""

    scaling: Scaling
    head: Head | None = None

    def probabilities(self, images: Images) -> NDArray[np.float64]:
        """Class probabilities (images, classes)."""
        head = self.head
        return self.scaling.apply(
            images.probabilities if head is None else head.probabilities(images.features)
        )


class Fit(NamedTuple):
    """A method, fitted to all images of the site.

    Attributes:
        loss: Log loss in nats, mean over images of the site that it was not fitted to.
        probabilities: Of the site's images likewise, shape (images, classes).
        adapted: What it makes of the retrained model.
    """

    loss: float
    probabilities: NDArray[np.floating]
    adapted: Adapted


def fit_methods(site: Images, old: Images | None, *, seed: int) -> dict[str, Fit]:
    """Fits every method; losses by grouped, stratified, repeated cross-validation.

    Args:
        site: Labelled images of the site, at least two groups of each class.
        old: Training images of the study; None leaves out the new head.
        seed: Decides the folds.

    Returns:
        By name, the simplest first.
    """
    folds = [_folds(site, seed + repeat) for repeat in range(REPEATS)]
    same = Scaling.of_temperature(1.0, site.probabilities.shape[1])
    unchanged = log_loss(site.probabilities, site.labels)
    as_it_is = np.stack([site.probabilities] * REPEATS)
    found = {
        NONE: Fit(unchanged, site.probabilities, Adapted(same)),
        SCALING: _scaled(as_it_is, site.labels, folds, None),
    }
    if old is not None:
        out_of_fold = np.stack([_out_of_fold(old, site, each) for each in folds])
        found[HEAD] = _scaled(out_of_fold, site.labels, folds, fit_head(old, site))
    return found


def choose(fits: Mapping[str, Fit], labels: NDArray[np.int64]) -> str:
    """The new head, unless slope and offset are better by more than two standard errors.

    The model as it is only serves for comparison: where cross-validation prefers it, slope and
    offset still halved the loss, and their prior limits the harm
    (docs/decisions/027-adaptation.md).

    Args:
        fits: From `fit_methods`.
        labels: Of the site's images.
    """
    if HEAD not in fits:
        return SCALING
    rows = np.arange(len(labels))
    head, scaling = (np.log(fits[name].probabilities[rows, labels]) for name in (HEAD, SCALING))
    return SCALING if np.mean(scaling - head) > 2 * sem(scaling - head) else HEAD


def fit_head(old: Images, site: Images) -> Head:
    """A logistic regression on the features of old images and the site's together."""
    features = np.concatenate([old.features, site.features])
    labels = np.concatenate([old.labels, site.labels])
    mean = features.mean(axis=0)  # without it the solver needs twice the iterations
    weight = SITE_SHARE * len(old.labels) / len(site.labels)
    weights = np.concatenate([np.ones(len(old.labels)), np.full(len(site.labels), weight)])
    model = LogisticRegression(C=STRENGTH, max_iter=1000)
    with threadpool_limits(1):  # several threads took ten times as long
        model.fit(features - mean, labels, weights)
    kernel, bias = model.coef_.T, model.intercept_ - model.coef_ @ mean
    if kernel.shape[1] == 1:  # scikit-learn has one logit for two classes
        kernel, bias = np.hstack([-kernel / 2, kernel / 2]), np.array([-bias[0] / 2, bias[0] / 2])
    return Head(kernel.astype(np.float32), bias.astype(np.float32))


def _out_of_fold(old: Images, site: Images, folds: list[Fold]) -> NDArray[np.float32]:
    """Probabilities of the site's images, each by a head that was not fitted to its fold."""
    found = np.empty_like(site.probabilities)
    for train, validation in folds:
        head = fit_head(old, site.select(train))
        found[validation] = head.probabilities(site.features[validation])
    return found


def _scaled(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    folds: list[list[Fold]],
    head: Head | None,
) -> Fit:
    """Slope and offsets of probabilities (repeats, images, classes), or of the head's."""
    found = np.empty(probabilities.shape)
    for repeat, each in enumerate(folds):
        for train, validation in each:
            scaling = fit_scaling(probabilities[repeat, train], labels[train])
            found[repeat, validation] = scaling.apply(probabilities[repeat, validation])
    mean = found.mean(axis=0)
    scaling = fit_scaling(probabilities.mean(axis=0), labels)
    return Fit(log_loss(mean, labels), mean, Adapted(scaling, head))


def _folds(site: Images, seed: int) -> list[Fold]:
    pairs = set(zip(site.labels.tolist(), site.groups, strict=True))
    fewest = min(Counter(label for label, _ in pairs).values())
    return split_groups(site.labels, site.groups, folds=min(FOLDS, fewest), seed=seed)
