"""The files of a model that is adapted to a site."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from concrete_study.datasets.files import replacing_folder, write_text
from concrete_study.models.classifier import Classifier
from concrete_study.models.export import EXPORTS, KERAS_FILE, check_exports, export_model
from concrete_study.results.adaptation_record import AdaptationRecord, SiteImages
from concrete_study.results.adapted_card import adapted_card
from concrete_study.results.environment import git_commit, now, versions
from concrete_study.results.evaluation import (
    evaluate,
    final_rows,
    prediction_rows,
    read_predictions,
)
from concrete_study.results.folder import StudyFolder
from concrete_study.results.formats import csv_text
from concrete_study.results.model_folder import adapted_path
from concrete_study.results.stored import METRICS_FILE, file_checksums, write_record
from concrete_study.study.adaptation_methods import Adapted, Images


def write_adapted_model(
    study: StudyFolder,
    classifier: Classifier,
    adapted: Adapted,
    *,
    site: str,
    fitted_to: SiteImages,
    method: str,
    start: float,
    losses: Mapping[str, float] | None = None,
    class_shares: Mapping[str, float] | None = None,
    predictions: pd.DataFrame | None = None,
    test: Images | None = None,
    examples: NDArray[np.float32] | None = None,
    formats: Sequence[str] = (),
) -> AdaptationRecord:
    """Writes the adapted model, its exports, predictions, card and record.

    Args:
        study: The study, locked.
        classifier: Its retrained model.
        adapted: What replaces its output layer or its head.
        site: Name of the folder.
        fitted_to: The site's images.
        method: Its name.
        start: When the adaptation began, by `time.monotonic`.
        losses: Of each method, by cross-validation.
        class_shares: Estimated proportions of the classes.
        predictions: Of the site's images, before and after, by cross-validation.
        test: The study's test images; needed if `adapted` has a head.
        examples: Some images of the site, (images, size, size, 3), to check exports with.
        formats: Names of `models.export.EXPORTS`.

    Raises:
        ResourceError: If an export does not load, or its predictions differ.
    """
    metrics, manifest = study.required_metrics(), study.manifest()
    classes, positive = manifest.classes, manifest.positive_class
    tested = _predict_test(study, classes, adapted, test)
    with replacing_folder(adapted_path(study, site)) as path:
        output = adapted.scaling.of_layer(*(adapted.head or classifier.output))
        classifier.save_with(output, path / KERAS_FILE, new_head=adapted.head is not None)
        if predictions is not None:
            write_text(path / "predictions.csv", csv_text(predictions))
        write_text(path / "test.csv", csv_text(tested))
        exports = _export(classifier, adapted, path, formats, examples)
        record = AdaptationRecord(
            study=study.name,
            site=site,
            trial=metrics.trial,
            test_opened=metrics.test_opened,
            fitted_to=fitted_to,
            method=method,
            losses=dict(losses or {}),
            class_shares=dict(class_shares or {}),
            site_test=None if predictions is None else evaluate(predictions, classes, positive),
            test=evaluate(tested, classes, positive),
            adapted=now(),
            commit=git_commit(),
            versions=versions(),
            seconds=round(time.monotonic() - start, 1),
            exports=exports,
            files=file_checksums(path),
        )
        write_text(path / "model-card.md", adapted_card(record, predictions))
        write_record(path / METRICS_FILE, record)
    return record


def _export(
    classifier: Classifier,
    adapted: Adapted,
    path: Path,
    formats: Sequence[str],
    examples: NDArray[np.float32] | None,
) -> dict[str, float]:
    """Writes and checks exports; returns the largest difference of a probability of each."""
    if not formats or examples is None:
        return {}
    export_model(path / KERAS_FILE, path, formats)
    files = [path / EXPORTS[name] for name in formats]
    labels = np.zeros(len(examples), np.int64)  # not known, and not used
    images = Images(*classifier.read(examples), labels, [""] * len(examples))
    return check_exports(files, examples, adapted.probabilities(images))


def _predict_test(
    study: StudyFolder, classes: Sequence[str], adapted: Adapted, test: Images | None
) -> pd.DataFrame:
    """The study's test images, predicted before and after adaptation.

    Slope and offsets apply to stored probabilities; only a new head needs the images.
    """
    final = final_rows(read_predictions(study.predictions_path))
    before = final[[f"p_{name}" for name in classes]].to_numpy(np.float64)
    if adapted.head is not None and test is None:
        raise ValueError("A new head needs the test images; received none.")
    after = adapted.scaling.apply(before) if test is None else adapted.probabilities(test)
    return prediction_rows(
        final["file"].tolist(),
        final["class"].tolist(),
        classes,
        {"unadapted": before, "adapted": after},
        final["group"].tolist(),
    )
