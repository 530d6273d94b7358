"""Adaptation of a retrained model to another site by a few labelled images.

Only the head changes. The result is a model of its own in `adapted/<site>/`; the retrained model
and its results stay as they are.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from concrete_study.datasets.batches import Subset, image_batches, subset_of
from concrete_study.datasets.errors import DataError
from concrete_study.datasets.folds import groups_by_label
from concrete_study.datasets.loading import StudyData
from concrete_study.datasets.progress import Progress
from concrete_study.datasets.splits import EXTERNAL, SplitRow
from concrete_study.models.classifier import Classifier
from concrete_study.models.devices import memory_errors, prepare_devices
from concrete_study.models.export import KERAS_FILE
from concrete_study.results.adaptation_record import AdaptationRecord, SiteImages
from concrete_study.results.evaluation import prediction_rows
from concrete_study.results.folder import StudyFolder
from concrete_study.results.runs import check_name
from concrete_study.search.images import reopen_data
from concrete_study.study.adaptation_methods import HEAD, Fit, Images, choose, fit_methods
from concrete_study.study.adapted_model import write_adapted_model
from concrete_study.study.external import plain_name, read_unseen

FEWEST = 10  # labelled images
FEWEST_GROUPS = 2  # of each class, so that cross-validation has both sides
BATCH_SIZE = 32
EXAMPLES = 16  # images that the check of an export takes
MOST_OLD_IMAGES = 500  # training images that a new head takes, drawn at random


def adapt(
    study: StudyFolder,
    root: Path,
    class_map: Mapping[str, str],
    progress: Progress,
    *,
    site: str | None = None,
    labels: Path | None = None,
    split_by: str | None = None,
    formats: Sequence[str] = (),
) -> AdaptationRecord:
    """Adapts a study's retrained model to the labelled images of a folder.

    Images of the study's own subsets, and near-duplicates of them, are excluded.

    Args:
        study: A retrained study.
        root: Folder with one sub-folder per class; 20 to 100 images suffice.
        class_map: The study's class by the folder's, where the names differ.
        progress: Receives messages and progress.
        site: Name of the result, which replaces an earlier one; None takes the folder's.
        labels: A CSV file of labels, see `find_layout`.
        split_by: Groups that cross-validation keeps together, see `links_by_name`.
        formats: Export formats, names of `models.export.EXPORTS`.

    Returns:
        The content of `adapted/<site>/metrics.json`.

    Raises:
        StudyStateError: If the study is not retrained, or in use by another process.
        UsageError: If an argument cannot be used.
        DataError: If the folder cannot be read, or has too few images.
    """
    prepare_devices()
    start, site = time.monotonic(), check_name(site or plain_name(root))
    with study.lock(), memory_errors():
        study.required_metrics()
        manifest = study.manifest()
        classifier = Classifier(study.best_path / KERAS_FILE)  # raises if it is damaged
        folder, rows = read_unseen(study, root, class_map, labels, progress, split_by=split_by)
        ensure_enough(rows, manifest.classes)
        given = subset_of(folder.roots, rows, EXTERNAL, manifest.classes)
        images = read_images(classifier, given, [row.group for row in rows], progress)
        fits, method, test = _fit(study, classifier, images, progress)
        fitted_to = SiteImages(
            data=str(root.resolve()),
            fingerprint=folder.fingerprint,
            class_map=dict(class_map),
            labels=str(labels.resolve()) if labels else None,
            images=len(rows),
            groups=len(set(images.groups)),
            by_class=dict(Counter(row.label for row in rows)),
            excluded=len(folder.images) - len(rows),
            faults=folder.faults,
        )
        return write_adapted_model(
            study,
            classifier,
            fits[method].adapted,
            site=site,
            fitted_to=fitted_to,
            method=method,
            losses={name: fit.loss for name, fit in fits.items()},
            predictions=_predictions(rows, manifest.classes, images, fits[method]),
            test=test,
            examples=_examples(given, classifier.size) if formats else None,
            formats=formats,
            start=start,
        )


def ensure_enough(rows: Sequence[SplitRow], classes: Sequence[str]) -> None:
    """Checks that there are enough labelled images of every class.

    Raises:
        DataError: If there are not.
    """
    groups = {label: len(found) for label, found in groups_by_label(rows).items()}
    if len(rows) >= FEWEST and all(groups.get(label, 0) >= FEWEST_GROUPS for label in classes):
        return
    found = ", ".join(f"{groups.get(label, 0)} {label}" for label in classes)
    raise DataError(
        f"{len(rows)} labelled images that are new to the study are too few to adapt to.",
        f"Expected at least {FEWEST}, and of each class {FEWEST_GROUPS} groups (near-duplicates "
        f"are one group); found {found}.",
        "label more images; 20 to 100 are a good number.",
    )


def read_images(
    classifier: Classifier, subset: Subset, groups: Sequence[str], progress: Progress
) -> Images:
    """A subset as the retrained model sees it."""
    found = []
    with progress.counting("forward passes", len(subset)) as done:
        for batch, labels in image_batches(subset, size=classifier.size, batch_size=BATCH_SIZE):
            found.append(classifier.read(batch))
            done(len(labels))
    probabilities, features = map(np.concatenate, zip(*found, strict=True))
    return Images(probabilities, features, subset.labels.astype(np.int64), list(groups))


def draw_training_images(
    data: StudyData, classifier: Classifier, progress: Progress, *, seed: int
) -> Images:
    """Some training images of the study, for a new head."""
    train = data.subset("train")
    random = np.random.default_rng(seed)
    kept = np.sort(random.permutation(len(train))[:MOST_OLD_IMAGES])
    chosen = train.select(kept)
    return read_images(classifier, chosen, chosen.digests, progress)


def _examples(subset: Subset, size: int) -> NDArray[np.float32]:
    """A few images of a subset."""
    batch, _ = next(image_batches(subset, size=size, batch_size=EXAMPLES))
    images: NDArray[np.float32] = batch.numpy()
    return images


def _fit(
    study: StudyFolder, classifier: Classifier, images: Images, progress: Progress
) -> tuple[dict[str, Fit], str, Images | None]:
    """The methods, the chosen one, and the study's test images if it needs them."""
    manifest = study.manifest()
    data, old, seed = None, None, manifest.options.seed
    try:
        data = reopen_data(study, manifest)
    except DataError as error:
        progress.log(f"No new head is fitted: {error.problem}")
    if data is not None:
        old = draw_training_images(data, classifier, progress, seed=seed)
    fits = fit_methods(images, old, seed=seed)
    method = choose(fits, images.labels)
    if data is None or method != HEAD:
        return fits, method, None
    test = data.subset("test")
    return fits, method, read_images(classifier, test, test.digests, progress)


def _predictions(
    rows: Sequence[SplitRow],
    classes: Sequence[str],
    images: Images,
    fit: Fit,
) -> pd.DataFrame:
    """The site's images, predicted before and after adaptation by cross-validation."""
    checkpoints = {"unadapted": images.probabilities, "adapted": fit.probabilities}
    files, truth = [row.file for row in rows], [row.label for row in rows]
    return prediction_rows(files, truth, classes, checkpoints, [row.group for row in rows])
