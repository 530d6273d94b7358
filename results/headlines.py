"""The headline scores of a test in words: accuracy in view of its classes' sizes."""

from concrete_study.results.records import TestReport


def only_class(test: TestReport) -> str | None:
    """The class of all test images; None if there are several."""
    present = [name for name, row in test.by_class.items() if row.support]
    return present[0] if len(present) == 1 else None


def majority_text(test: TestReport) -> str:
    """The accuracy of always predicting the largest class, e.g. "always Negative: 0.9333"."""
    return f"always {test.majority_class}: {test.majority_rate:.4f}"


def balance_text(test: TestReport) -> str:
    """Balanced accuracy next to the majority rate; of one class, its recall with an interval."""
    name = only_class(test)
    if name is None:
        return f"balanced accuracy {test.balanced_accuracy:.4f}, {majority_text(test)}"
    low, high = test.accuracy_interval
    negative = len(test.classes) == 2 and name != test.positive_class
    return (
        f"{'specificity' if negative else 'recall'} of {name} {test.accuracy:.4f} "
        f"({test.interval} interval {low:.4f} to {high:.4f}), "
        "balanced accuracy undefined: one class"
    )


def roc_auc_text(test: TestReport) -> str:
    """The area under the ROC curve of the positive class; empty if no class is the positive one."""
    if test.positive_class is None:
        return ""
    area = "undefined: one class" if test.roc_auc is None else f"{test.roc_auc:.4f}"
    return f"ROC AUC {area} (positive class {test.positive_class})"
