"""The threshold that predictions use: given, or chosen by a recall on images with labels."""

from concrete_study.datasets.errors import StudyStateError, UsageError
from concrete_study.datasets.progress import Progress
from concrete_study.results.evaluation import final_rows, read_predictions
from concrete_study.results.model_folder import ModelFolder
from concrete_study.results.thresholds import threshold_for_recall


def choose_threshold(
    model: ModelFolder,
    positive: str | None,
    progress: Progress,
    *,
    threshold: float | None = None,
    recall: float | None = None,
) -> float | None:
    """The probability from which the positive class is predicted; None: the highest probability.

    Args:
        model: Of a retrained study.
        positive: Name of the positive class.
        progress: Receives what a threshold that is chosen by recall is worth.
        threshold: The threshold itself, in [0, 1].
        recall: The recall in (0, 1] that it has on validation images, or on those of the site.

    Raises:
        UsageError: If both are given, one is out of range, or there is no positive class.
        StudyStateError: If there are no predictions to choose a threshold by.
    """
    if threshold is None and recall is None:
        return None
    if threshold is not None and recall is not None:
        raise UsageError("threshold and recall cannot be combined.", "Expected one of them.")
    for name, value in (("threshold", threshold), ("recall", recall)):
        if value is not None and not 0 <= value <= 1:
            raise UsageError(f"{value} is not valid.", "Expected 0 to 1.", parameter=name)
    if positive is None:
        raise UsageError(
            f"a threshold needs a positive class; study {model.study.name} has none.",
            "Expected positive_class, or neither threshold nor recall, to predict the most "
            "probable class.",
        )
    return threshold if recall is None else _threshold_of_recall(model, positive, recall, progress)


def _threshold_of_recall(
    model: ModelFolder, positive: str, recall: float, progress: Progress
) -> float:
    if recall == 0:
        raise UsageError("0 is too small.", "Expected a recall in (0, 1].", parameter="recall")
    images = "validation images" if model.site is None else "site's images"
    if not model.thresholds_path.exists():
        raise StudyStateError(
            f"study {model.name} has no predictions to choose a threshold by.",
            f"Expected {model.thresholds_path}.",
            "retrain the best trial again.",
        )
    validation = read_predictions(model.thresholds_path)
    if not (final_rows(validation)["class"] == positive).any():
        raise UsageError(
            f"none of the {images} is of class {positive}.",
            "Expected at least one to choose a threshold by.",
            "give a threshold.",
            parameter="recall",
        )
    chosen = threshold_for_recall(validation, positive, recall)
    progress.log(
        f"Threshold {chosen.value:.6f}: on the {images}, recall {chosen.recall:.2%} "
        f"({chosen.images} {positive}), false positive rate {chosen.false_positive_rate:.2%}."
    )
    if chosen.images * (1 - recall) < 1:
        few = images.removeprefix("site's ")
        progress.log(
            f"Warning: {chosen.images} {positive} {few} are too few to estimate a recall of "
            f"{recall:.4g}; it may be lower on other images."
        )
    return chosen.value
