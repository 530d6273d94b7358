"""The retrained model on files of any number: a row for each, whatever is wrong with it."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from concrete_study.datasets.decoding import UnreadableImageError, decode_image
from concrete_study.datasets.folders import OTHER_IMAGES, SUFFIXES
from concrete_study.models.classifier import Classifier

BATCH_SIZE = 32


class Prediction(NamedTuple):
    """One file: its class and the probability of each, or why it has none."""

    file: str
    predicted: str
    probabilities: tuple[float, ...]  # one per class; empty for a faulty file
    error: str = ""


def expand(paths: Sequence[str]) -> Iterator[str]:
    """Files for what was typed, in order, read as they are needed.

    A folder stands for all images below it, `-` for the lines of standard input, and a
    pattern that the shell has left (`*`, `?`, `[`) for what it matches.
    """
    for path in paths:
        if path == "-":
            yield from (line.rstrip("\n") for line in sys.stdin if line.strip())
        elif Path(path).is_dir():
            yield from _images_below(path)
        elif not Path(path).exists() and any(sign in path for sign in "*?["):
            anchor = Path(Path(path).anchor)
            matches = [str(match) for match in anchor.glob(str(Path(path).relative_to(anchor)))]
            yield from sorted(matches) or [path]
        else:
            yield path


def _images_below(folder: str) -> Iterator[str]:
    """Images of any kind in a folder, then in those below it, each folder's by name."""
    for place, below, names in os.walk(folder):
        below.sort()
        yield from (
            str(Path(place, name))
            for name in sorted(names)
            if Path(name).suffix.lower() in SUFFIXES | OTHER_IMAGES
        )


def predict_files(
    classifier: Classifier,
    files: Iterable[str],
    classes: Sequence[str],
    *,
    threshold: float | None = None,
) -> Iterator[Prediction]:
    """Classifies files batch by batch; no more than two batches are in memory.

    Args:
        classifier: The model.
        files: Paths; one that is missing or no image gives a row with an error.
        classes: In the model's order.
        threshold: With two classes, the probability from which on the last is predicted;
            None takes the more probable class.
    """
    waiting = iter(files)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        while batch := list(islice(waiting, BATCH_SIZE)):
            decoded = list(pool.map(lambda file: _decode(file, classifier.size), batch))
            pixels = [image for image in decoded if not isinstance(image, str)]
            answers = iter(classifier.probabilities(np.stack(pixels)).tolist() if pixels else [])
            for file, image in zip(batch, decoded, strict=True):
                if isinstance(image, str):
                    yield Prediction(file, "", (), image)
                    continue
                p = tuple(next(answers))
                chosen = p.index(max(p)) if threshold is None else int(p[-1] >= threshold)
                yield Prediction(file, classes[chosen], p)


def _decode(file: str, size: int) -> NDArray[np.uint8] | str:
    try:
        return decode_image(Path(file), size)
    except UnreadableImageError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)
