"""Why a model of two classes does badly on some images: ranking, threshold or calibration."""

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve

from concrete_study.results.evaluation_records import Diagnosis, TestReport
from concrete_study.results.formats import number
from concrete_study.results.statistics import EPSILON, log_loss

# "Excellent discrimination" from here on: Hosmer, Lemeshow and Sturdivant (2013), "Applied
# logistic regression". Below, any threshold misses many images or raises many false alarms.
RANKS_WELL = 0.8
# The best threshold is fitted to the same images, so that it always gains a little: on 100 images
# of each class, balanced accuracy near 0.9 has a standard error of 0.02.
THRESHOLD_GAIN = 0.05


def diagnose(positive: NDArray[np.bool_], probability: NDArray[np.float64]) -> Diagnosis:
    """The best threshold and calibration for some images.

    Args:
        positive: Whether each image is of the positive class; of both there is one.
        probability: Of the positive class.

    Source: Youden (1950), "Index for rating diagnostic tests"; Cox (1958), "Two further
    applications of a model for binary regression", for slope and offset of the logit.
    """
    false, true, thresholds = roc_curve(positive, probability)
    best = 1 + int(np.argmax(true[1:] - false[1:]))  # the first threshold is infinite
    clipped = np.clip(probability, EPSILON, 1 - EPSILON)
    logit = np.log(clipped / (1 - clipped))[:, None]
    model = LogisticRegression(C=np.inf)
    with warnings.catch_warnings():
        # Of classes that a threshold separates: the slope is infinite, and the loss near 0.
        warnings.simplefilter("ignore", ConvergenceWarning)
        refitted = model.fit(logit, positive).predict_proba(logit)
    return Diagnosis(
        threshold=float(thresholds[best]),
        balanced_accuracy=float((1 + true[best] - false[best]) / 2),
        calibrated_loss=log_loss(refitted, positive.astype(np.int64)),
    )


def diagnosis_text(test: TestReport) -> str:
    """Which of ranking and threshold failed, and how much of the log loss is calibration.

    The ranking is judged only if the whole interval of ROC AUC is on one side of `RANKS_WELL`.

    Returns:
        Two sentences; empty unless there are two classes with images of both.
    """
    found, area, balanced = test.diagnosis, test.scores.roc_auc, test.scores.balanced_accuracy
    loss = test.scores.loss.value
    if found is None or area is None or balanced is None:
        return ""
    best = f"{number(found.balanced_accuracy, 2)} (at {_digits(found.threshold)})"
    value, low, high = (number(bound, 2) for bound in (area.value, area.low, area.high))
    auc = f"ROC AUC {value}, 95 % interval {low} to {high}"
    fails = found.balanced_accuracy - balanced.value >= THRESHOLD_GAIN
    if area.high < RANKS_WELL:
        text = f"The model does not rank these images well ({auc}), so that no threshold fits them:"
    elif area.low < RANKS_WELL:
        text = (
            f"{test.images} images are too few to decide whether the model ranks them well ({auc}):"
        )
    elif fails:
        text = f"The model ranks these images well ({auc}), but its threshold does not fit them:"
    else:
        text = f"The model ranks these images well ({auc}), and its threshold fits them:"
    rest = min(found.calibrated_loss, loss)
    return (
        f"{text} balanced accuracy {number(balanced.value, 2)} at 0.5, at best {best}. "
        f"Calibration is {number(loss - rest, 2)} of the log loss of {number(loss, 2)}: slope and "
        f"offset of the logit, refitted on these images, leave {number(rest, 2)}."
    )


def _digits(threshold: float) -> str:
    """Two digits; more where it would read 0.5, with which it is compared, and is not."""
    texts = (f"{threshold:.{digits}g}" for digits in range(2, 18))
    return next(text for text in texts if (float(text) == 0.5) == (threshold == 0.5))
