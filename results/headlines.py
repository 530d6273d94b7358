"""The headline scores of a test in words: accuracy in view of its classes' sizes."""

from concrete_study.results.evaluation_records import Calibration, Estimate, TestReport
from concrete_study.results.formats import counted, number
from concrete_study.results.metrics import SCORES


def only_class(test: TestReport) -> str | None:
    """The class of all test images; None if there are several."""
    present = [name for name, row in test.by_class.items() if row.support]
    return present[0] if len(present) == 1 else None


def balance_text(test: TestReport) -> str:
    """What follows accuracy: that of always predicting the largest class, and balanced accuracy.

    Of images of one class it is their recall or specificity with its interval.
    """
    name, balanced = only_class(test), test.scores.balanced_accuracy
    if name is None and balanced is not None:
        return (
            f"always predicting {test.majority_class} has an accuracy of "
            f"{test.majority_rate:.4f}; balanced accuracy {number(balanced.value)}"
        )
    low, high = test.accuracy_interval
    negative = len(test.classes) == 2 and name != test.positive_class
    return (
        f"{'specificity' if negative else 'recall'} of {name} {test.accuracy:.4f} "
        f"({test.interval} interval {low:.4f} to {high:.4f}), "
        "balanced accuracy undefined: one class"
    )


def estimate_text(estimate: Estimate | None) -> str:
    """A score with its interval, e.g. "0.9971 (0.9912 to 1.0000)"."""
    if estimate is None:
        return "undefined: one class"
    return f"{number(estimate.value)} ({number(estimate.low)} to {number(estimate.high)})"


def score_lines(test: TestReport) -> list[str]:
    """Every score of `results.metrics` on a line of its own, and how its interval is computed."""
    lines = [
        f"{label:<28}{estimate_text(getattr(test.scores, name))}" for name, label in SCORES.items()
    ]
    return [*lines, f"{interval_text(test)}."]


def interval_text(test: TestReport) -> str:
    """How the intervals are computed, and of which class ROC AUC and average precision are."""
    if test.positive_class is not None:
        of = f"positive class {test.positive_class}"
    else:
        of = "means over one-vs-rest"
    return f"95 % intervals, bootstrap over {counted(test.groups, 'group')}; {of}"


def calibration_text(calibration: Calibration) -> str:
    """What temperature scaling changes on the validation images, in a sentence or two."""
    what = f"{counted(calibration.images, 'validation image')}, unshifted and under each shift"
    if calibration.temperature == 1:
        return f"Calibration: no temperature above 1 lowers the log loss on {what}."
    changes = ", ".join(
        f"{name} log loss {number(before.loss)} to {number(calibration.after[name].loss)}"
        for name, before in calibration.before.items()
    )
    return f"Calibration: temperature {calibration.temperature:.2f}, fitted to {what}: {changes}."
