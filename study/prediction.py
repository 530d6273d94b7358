"""Predictions of the retrained model: one row per file, also for files that cannot be read."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from concrete_study.datasets.decoding import UnreadableImageError, decode_image
from concrete_study.models.classifier import Classifier
from concrete_study.results.positive_class import class_index, find_positive_class
from concrete_study.search.worker_options import WorkerOptions
from concrete_study.study.image_paths import refusal

BATCH_SIZE = 32


class Prediction(NamedTuple):
    """One file: predicted class and probabilities, or an error."""

    file: str
    predicted: str
    probabilities: tuple[float, ...]  # one per class; empty with an error
    error: str = ""


def predict_files(
    classifier: Classifier,
    files: Iterable[str],
    classes: Sequence[str],
    *,
    threshold: float | None = None,
    positive_class: str | None = None,
) -> Iterator[Prediction]:
    """Classifies files batch by batch; at most two batches are in memory.

    Args:
        classifier: The model.
        files: Paths; a missing or unreadable file gives a row with an error.
        classes: In the model's order.
        threshold: The lowest probability at which the positive class is predicted, below it the
            most probable of the others; None predicts the class of the highest probability.
        positive_class: Its name; None as in `find_positive_class`.

    Raises:
        ValueError: If there is a threshold, and no positive class.
    """
    positive = find_positive_class(classes, positive_class)
    if threshold is not None and positive is None:
        raise ValueError(f"A threshold needs a positive class; received {classes}.")
    index = class_index(classes, positive)
    waiting = iter(files)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        while batch := list(islice(waiting, BATCH_SIZE)):
            decoded = list(pool.map(lambda file: _decode(file, classifier.size), batch))
            pixels = [image for image in decoded if not isinstance(image, str)]
            probabilities = iter(
                classifier.probabilities(np.stack(pixels)).tolist() if pixels else []
            )
            for file, image in zip(batch, decoded, strict=True):
                if isinstance(image, str):
                    yield Prediction(file, "", (), image)
                    continue
                p = tuple(next(probabilities))
                yield Prediction(file, classes[_decide(p, threshold, index)], p)


def predict_on_workers(
    keras_file: Path,
    files: Iterable[str],
    classes: Sequence[str],
    options: WorkerOptions,
    *,
    threshold: float | None,
    positive_class: str | None,
    max_megapixels: float,
) -> Iterator[Prediction]:
    """As `predict_files`, with the same rows in the same order, computed by several workers.

    Raises:
        UsageError: If there is no cluster at the address.
        ResourceError: If a batch lost its worker three times.
    """
    # Only here: it needs the extra `cluster`.
    from concrete_study.study.worker_batches import map_batches

    waiting = iter(files)
    batches = iter(lambda: list(islice(waiting, BATCH_SIZE)), [])
    # Workers may run in another folder.
    rows = partial(_rows, Path.cwd(), tuple(classes), threshold, positive_class)
    for found in map_batches(rows, batches, keras_file, options, max_megapixels=max_megapixels):
        yield from found


def _rows(
    folder: Path,
    classes: Sequence[str],
    threshold: float | None,
    positive_class: str | None,
    classifier: Classifier,
    files: Sequence[str],
) -> list[Prediction]:
    """Predictions of files whose paths may be relative to a folder."""
    paths = [os.path.join(folder, file) for file in files]  # noqa: PTH118 - keeps odd names
    found = predict_files(
        classifier, paths, classes, threshold=threshold, positive_class=positive_class
    )
    return [row._replace(file=file) for row, file in zip(found, files, strict=True)]


def _decide(p: Sequence[float], threshold: float | None, positive: int | None) -> int:
    """The index of the predicted class."""
    if threshold is None or positive is None:
        return p.index(max(p))
    if p[positive] >= threshold:
        return positive
    return max((n for n in range(len(p)) if n != positive), key=p.__getitem__)


def _decode(file: str, size: int) -> NDArray[np.uint8] | str:
    try:
        return refusal(file) or decode_image(Path(file), size)
    except (UnreadableImageError, ValueError) as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)
