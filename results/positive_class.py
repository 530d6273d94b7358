"""The positive class: the one that recall, thresholds and ROC curves are about."""

from collections.abc import Sequence

from concrete_study.datasets.errors import UsageError

# Compared without case, in this order.
USUAL_NAMES = (
    "positive",
    "cracked",
    "crack",
    "cracks",
    "defect",
    "defective",
    "damaged",
    "anomaly",
    "abnormal",
    "yes",
    "true",
    "1",
)


def find_positive_class(classes: Sequence[str], given: str | None = None) -> str | None:
    """The positive class of a study.

    Args:
        classes: All names, in the model's order.
        given: One of them; None takes, of two, the one with a usual name, else the last one.

    Returns:
        None if there are more than two classes and none is given.

    Raises:
        UsageError: If `given` is no class.
    """
    if given is not None:
        if given not in classes:
            raise UsageError(
                f"{given} is not a class.",
                f"Expected one of {', '.join(classes)}.",
                parameter="positive_class",
            )
        return given
    return (_usual(classes) or classes[-1]) if len(classes) == 2 else None


def describe_positive_class(classes: Sequence[str], given: str | None) -> str:
    """A sentence on which class is the positive one and why; empty if none is."""
    name = find_positive_class(classes, given)
    if name is None:
        return ""
    if given or _usual(classes):
        return f"Positive class: {name}."
    return (
        f"Positive class: {name}, the last by name, as neither {' nor '.join(classes)} is a usual "
        "name of one; set positive_class to choose the other."
    )


def _usual(classes: Sequence[str]) -> str | None:
    by_name = {name.lower(): name for name in reversed(classes)}
    return next((by_name[name] for name in USUAL_NAMES if name in by_name), None)


def class_index(classes: Sequence[str], name: str | None) -> int | None:
    """The index of a class among all; None if there is none."""
    return None if name is None else list(classes).index(name)
