"""Evaluation of a retrained model on an external test set."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from concrete_study.datasets.batches import Subset, subset_of
from concrete_study.datasets.decoding import limit_pixels
from concrete_study.datasets.errors import DataError, UsageError
from concrete_study.datasets.files import file_sha256, replacing_folder, write_text
from concrete_study.datasets.folders import ImageFolder, LabelledImage, Roots, locate
from concrete_study.datasets.groups import group_images, links_by_name
from concrete_study.datasets.progress import Progress
from concrete_study.datasets.reading import find_near_duplicates, read_folders
from concrete_study.datasets.splits import EXTERNAL, SplitRow
from concrete_study.models.classifier import Classifier, predict_images
from concrete_study.models.devices import memory_errors, prepare_devices
from concrete_study.models.export import KERAS_FILE
from concrete_study.results.card import write_card
from concrete_study.results.environment import git_commit, now, versions
from concrete_study.results.evaluation import evaluate, prediction_rows, read_predictions
from concrete_study.results.evaluation_records import EvaluationRecord
from concrete_study.results.folder import StudyFolder
from concrete_study.results.formats import csv_text
from concrete_study.results.model_folder import ModelFolder
from concrete_study.results.positive_class import find_positive_class
from concrete_study.results.records import SearchOptions
from concrete_study.results.stored import METRICS_FILE, file_checksums, write_record
from concrete_study.search.images import stored_roots
from concrete_study.search.worker_options import IN_PROCESS, WorkerOptions


def evaluate_external(
    model: ModelFolder,
    root: Path,
    class_map: Mapping[str, str],
    progress: Progress,
    *,
    labels: Path | None = None,
    positive_class: str | None = None,
    workers: WorkerOptions = IN_PROCESS,
) -> EvaluationRecord:
    """Evaluates a retrained or adapted model on another folder.

    Images of the study's own subsets, and near-duplicates of them, are excluded.

    Args:
        model: Of a retrained study.
        root: Folder with one sub-folder per class.
        class_map: The study's class by the folder's, where the names differ.
        labels: A CSV file of labels, see `find_layout`.
        progress: Receives messages and progress.
        positive_class: Instead of the study's.
        workers: Where images are predicted.

    Returns:
        The content of `evaluations/<folder>/metrics.json`. Each folder of images, map of classes,
        content of `labels` and positive class has a folder of its own.

    Raises:
        StudyStateError: If the study is not retrained, or in use by another process.
        UsageError: If `class_map`, `labels` or `positive_class` cannot be used.
        DataError: If the folder cannot be read, or no image of it is left.
    """
    workers.check()
    prepare_devices()
    study = model.study
    with study.lock(), memory_errors():
        classes = study.required_metrics().test.classes
        manifest = study.manifest()
        positive = find_positive_class(classes, positive_class or manifest.positive_class)
        record = _evaluate(model, root, class_map, labels, progress, positive, workers)
        if model.site is None and study.card_path.exists():
            write_card(study)  # its limitations include external test sets
    return record


def read_unseen(
    study: StudyFolder,
    root: Path,
    class_map: Mapping[str, str],
    labels: Path | None,
    progress: Progress,
    *,
    split_by: str | None = None,
) -> tuple[ImageFolder, list[SplitRow]]:
    """Reads a folder of the study's classes; returns it, and its images that are new to the study.

    Args:
        study: A study.
        root: Folder with one sub-folder per class.
        class_map: The study's class by the folder's, where the names differ.
        labels: A CSV file of labels, see `find_layout`.
        progress: Receives messages and progress.
        split_by: Further groups, see `links_by_name`.

    Raises:
        UsageError: If `class_map`, `labels` or `split_by` cannot be used.
        DataError: If the folder cannot be read, or no image of it is left.
    """
    manifest = study.manifest()
    limit_pixels(manifest.options.max_megapixels)
    _require_targets(class_map, manifest.classes)
    lists = {"": labels} if labels else {}
    folder = read_folders({"": root}, progress, class_map=class_map, labels=lists, partial=[""])
    _require_classes(folder.classes, manifest.classes)
    links = links_by_name(folder, split_by) if split_by else []
    unseen = _unseen(study, stored_roots(manifest), folder, links, progress)
    return folder, [SplitRow(i.file, i.label, EXTERNAL, group, i.sha256) for i, group in unseen]


def _evaluate(
    model: ModelFolder,
    root: Path,
    class_map: Mapping[str, str],
    labels: Path | None,
    progress: Progress,
    positive: str | None,
    workers: WorkerOptions,
) -> EvaluationRecord:
    """Predicts the new images of a folder, and writes predictions and record."""
    manifest = model.study.manifest()
    model.adaptation()  # raises if it is of an earlier model
    classifier = Classifier(model.path / KERAS_FILE)  # raises if it is damaged
    folder, rows = read_unseen(model.study, root, class_map, labels, progress)
    with progress.counting("evaluating", len(rows)) as done:
        subset = subset_of(folder.roots, rows, EXTERNAL, manifest.classes)
        if workers.is_distributed:
            probabilities = _on_workers(model, subset, manifest.options, workers, done)
        else:
            size = manifest.options.batch_size
            probabilities = predict_images(classifier, subset, batch_size=size, on_images=done)
    files, truth = [row.file for row in rows], [row.label for row in rows]
    groups = [row.group for row in rows]
    checkpoints = {"best" if model.site is None else "adapted": probabilities}
    table = prediction_rows(files, truth, manifest.classes, checkpoints, groups)
    usual = find_positive_class(manifest.classes, manifest.positive_class)
    variant = _variant(class_map, labels, "" if positive == usual else f"{positive}")
    name = f"{plain_name(root)}-{folder.fingerprint[:8]}{variant}"
    with replacing_folder(model.evaluations_path / name) as path:
        write_text(path / "predictions.csv", csv_text(table))
        record = EvaluationRecord(
            study=model.study.name,
            folder=name,
            data=str(root.resolve()),
            fingerprint=folder.fingerprint,
            class_map=dict(class_map),
            labels=str(labels.resolve()) if labels else None,
            excluded=len(folder.images) - len(rows),
            faults=folder.faults,
            test=evaluate(read_predictions(path / "predictions.csv"), manifest.classes, positive),
            evaluated=now(),
            commit=git_commit(),
            versions=versions(),
            files=file_checksums(path),
        )
        write_record(path / METRICS_FILE, record)
    return record


def _on_workers(
    model: ModelFolder,
    subset: Subset,
    options: SearchOptions,
    workers: WorkerOptions,
    on_images: Callable[[int], None],
) -> NDArray[np.float32]:
    """As `predict_images`, computed by several workers."""
    # Only here: it needs the extra `cluster`.
    from concrete_study.study.worker_batches import map_batches

    # Workers may run in another folder.
    subset = replace(subset, paths=[path.absolute() for path in subset.paths])
    size, images = options.batch_size, np.arange(len(subset))
    batches = (subset.select(images[first : first + size]) for first in images[::size])
    predict = partial(predict_images, batch_size=size)
    found = []
    for probabilities in map_batches(
        predict, batches, model.path / KERAS_FILE, workers, max_megapixels=options.max_megapixels
    ):
        found.append(probabilities)
        on_images(len(probabilities))
    return np.concatenate(found)


def _require_targets(class_map: Mapping[str, str], classes: Sequence[str]) -> None:
    for name, label in class_map.items():
        if label not in classes:
            raise UsageError(
                f"{name}={label} is not valid.",
                f"Expected the study's classes {', '.join(classes)}; received {label}.",
                parameter="class_map",
            )


def _require_classes(found: Iterable[str], classes: Sequence[str]) -> None:
    if unknown := [label for label in found if label not in classes]:
        raise UsageError(
            f"class {unknown[0]} is not mapped.",
            f"Expected the study's classes {', '.join(classes)}; received {unknown[0]}.",
            f"{unknown[0]}=CLASS, with one of {', '.join(classes)}.",
            parameter="class_map",
        )


def _unseen(
    study: StudyFolder,
    roots: Roots,
    folder: ImageFolder,
    links: Sequence[Sequence[str]],
    progress: Progress,
) -> list[tuple[LabelledImage, str]]:
    """The images that are no near-duplicates of the study's own, with their groups."""
    rows, images = study.split(), folder.images
    known = {row.sha256: locate(roots, row.file) for row in rows}
    # Test images too: only retraining opens them. External test sets are not the study's own.
    seen = {row.sha256 for row in rows if row.subset != EXTERNAL}
    present = {digest: path for digest, path in known.items() if path.is_file()}
    pairs = find_near_duplicates(folder, progress, others=present)
    old = [LabelledImage("", "", digest) for digest in known]
    groups = group_images([*old, *folder.images], [*(pair[:2] for pair in pairs), *links])
    own = {groups[digest] for digest in seen}
    grouped = [(image, groups[image.sha256]) for image in images]
    unseen = [(image, group) for image, group in grouped if group not in own]
    if len(present) < len(known):
        progress.log(
            "Some images of the study are missing: only exact duplicates of these are detected."
        )
    if len(unseen) < len(images):
        progress.log(
            f"{len(images) - len(unseen)} of {len(images)} images excluded: near-duplicates of "
            "the study's images."
        )
    if not unseen:
        raise DataError(
            f"No image in {folder.roots['']} is new to study {study.name}.",
            "Expected images that are not in its training, validation or test subset.",
            "another folder.",
        )
    return unseen


def _variant(class_map: Mapping[str, str], labels: Path | None, positive_class: str) -> str:
    """Tells evaluations of one folder apart; empty if classes are those of the study."""
    digest = [file_sha256(labels)] if labels else []
    given = json.dumps([sorted(class_map.items()), positive_class, *digest])
    named = class_map or positive_class or labels
    return f"-{hashlib.sha256(given.encode()).hexdigest()[:8]}" if named else ""


def plain_name(root: Path) -> str:
    """The name of a folder, without special characters."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", root.resolve().name)[:60]
