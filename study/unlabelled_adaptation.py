"""Adaptation of a retrained model to the proportions of classes among unlabelled images."""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from concrete_study.datasets.decoding import decode_image, limit_pixels
from concrete_study.datasets.errors import DataError
from concrete_study.datasets.progress import Progress
from concrete_study.models.classifier import Classifier
from concrete_study.models.devices import memory_errors, prepare_devices
from concrete_study.models.export import KERAS_FILE
from concrete_study.results.adaptation_record import AdaptationRecord, SiteImages
from concrete_study.results.calibration import Scaling
from concrete_study.results.evaluation import (
    final_rows,
    read_predictions,
    truth_and_probabilities,
)
from concrete_study.results.folder import StudyFolder
from concrete_study.results.label_shift import estimate_shares
from concrete_study.results.runs import check_name
from concrete_study.study.adaptation import EXAMPLES
from concrete_study.study.adaptation_methods import Adapted
from concrete_study.study.adapted_model import write_adapted_model
from concrete_study.study.external import plain_name
from concrete_study.study.image_paths import expand
from concrete_study.study.prediction import Prediction, predict_files

METHOD = "class proportions"
FEWEST = 50  # with fewer, the standard error of a proportion is over 0.07


def adapt_unlabelled(
    study: StudyFolder,
    root: Path,
    progress: Progress,
    *,
    site: str | None = None,
    formats: Sequence[str] = (),
) -> AdaptationRecord:
    """Adapts a study's retrained model to unlabelled images, if only their proportions differ.

    Args:
        study: A retrained study.
        root: A folder of images.
        progress: Receives messages and progress.
        site: Name of the result, which replaces an earlier one; None takes the folder's.
        formats: Export formats, names of `models.export.EXPORTS`.

    Returns:
        The content of `adapted/<site>/metrics.json`.

    Raises:
        StudyStateError: If the study is not retrained, or in use by another process.
        DataError: If there are too few images, or they differ from the validation images in more
            than the proportions of classes: the method then makes predictions worse.
    """
    prepare_devices()
    start, site = time.monotonic(), check_name(site or plain_name(root))
    with study.lock(), memory_errors():
        study.required_metrics()
        manifest = study.manifest()
        limit_pixels(manifest.options.max_megapixels)
        classifier = Classifier(study.best_path / KERAS_FILE)
        found = _predict(classifier, root, manifest.classes, progress)
        validation = final_rows(read_predictions(study.validation_path))
        truth, expected = truth_and_probabilities(validation, manifest.classes)
        prior = np.bincount(truth, minlength=len(manifest.classes)) / len(truth)
        if not prior.all():
            raise DataError(
                "The validation images lack a class.",
                f"Expected images of {', '.join(manifest.classes)}.",
                "adapt to labelled images.",
            )
        shares = estimate_shares(np.array([row.probabilities for row in found]), expected, truth)
        if not shares.is_trusted:
            raise DataError(
                f"The images in {root} differ from the validation images in more than the "
                "proportions of classes.",
                "Expected predicted probabilities as of validation images in other proportions; "
                f"a Kolmogorov-Smirnov test has p = {shares.p_value:.2g}.",
                "label 20 of the images, and adapt to these.",
            )
        scaling = Scaling(1.0, tuple(map(float, np.log(shares.by_maximum / prior))))
        names = "".join(row.file for row in found).encode(errors="surrogateescape")
        estimated = dict(zip(manifest.classes, map(float, shares.by_maximum), strict=True))
        fitted_to = SiteImages(
            data=str(root.resolve()),
            fingerprint=hashlib.sha256(names).hexdigest(),
            images=len(found),
            groups=len(found),
        )
        return write_adapted_model(
            study,
            classifier,
            Adapted(scaling),
            site=site,
            fitted_to=fitted_to,
            method=METHOD,
            class_shares=estimated,
            examples=_examples(found, classifier.size) if formats else None,
            formats=formats,
            start=start,
        )


def _examples(found: Sequence[Prediction], size: int) -> NDArray[np.float32]:
    images = [decode_image(Path(row.file), size) for row in found[:EXAMPLES]]
    return np.stack(images).astype(np.float32)


def _predict(
    classifier: Classifier, root: Path, classes: list[str], progress: Progress
) -> list[Prediction]:
    files = list(expand([str(root)])) if root.is_dir() else []
    if len(files) < FEWEST:
        raise DataError(
            f"{len(files)} unlabelled images in {root} are too few to adapt to.",
            f"Expected a folder of at least {FEWEST} images.",
            "another folder.",
            parameter="data",
        )
    found = []
    with progress.counting("predicting", len(files)) as done:
        for row in predict_files(classifier, files, classes):
            done(1)
            if row.error:
                progress.log(f"{row.file} cannot be read: {row.error}.")
            else:
                found.append(row)
    if len(found) < FEWEST:
        raise DataError(
            f"{len(found)} of {len(files)} files in {root} can be read.",
            f"Expected at least {FEWEST}.",
            parameter="data",
        )
    return found
