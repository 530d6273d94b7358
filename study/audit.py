"""Audit of a study's images: labels that are probably wrong, and shortcuts to the class."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from concrete_study.datasets.files import write_text
from concrete_study.datasets.folders import locate
from concrete_study.datasets.loading import StudyData
from concrete_study.datasets.measures import measure_images
from concrete_study.datasets.printing import from_csv_cell
from concrete_study.datasets.progress import Progress
from concrete_study.datasets.splits import SplitRow
from concrete_study.models.backbone import load_weights
from concrete_study.models.devices import memory_errors, prepare_devices
from concrete_study.models.precision import choose_precision
from concrete_study.models.trainable import Network
from concrete_study.results.environment import git_commit, now
from concrete_study.results.folder import StudyFolder
from concrete_study.results.formats import csv_text
from concrete_study.results.label_issues import find_label_issues, issues_table
from concrete_study.results.positive_class import find_positive_class
from concrete_study.results.records import StudyRecord
from concrete_study.results.shortcuts import find_shortcuts, shortcuts_table
from concrete_study.results.stored import damaged, write_record
from concrete_study.results.study_audit import AuditRecord, OutOfFold, PredictionSource, audit_page
from concrete_study.results.trials import find_best
from concrete_study.search.images import reopen_data
from concrete_study.search.manifest import require_same_weights
from concrete_study.search.space import image_sizes
from concrete_study.study.frozen_predictions import (
    audit_folds,
    frozen_features,
    predict_out_of_fold,
)

SUBSETS = ("train", "validation")


class _Predicted(NamedTuple):
    probabilities: NDArray[np.floating]  # (images, classes)
    source: PredictionSource
    folds: int


def audit_study(study: StudyFolder, progress: Progress) -> AuditRecord:
    """Audits the training and validation images of a study; the test split stays locked.

    Writes `audit/`: audit.json, audit.html, label-issues.csv and shortcuts.csv.

    Args:
        study: Its search has at least begun.
        progress: Receives messages and counts.

    Returns:
        The content of `audit.json`.

    Raises:
        StudyStateError: If the study is damaged, in use by another process, or has other weights.
        DataError: If the images have changed, or a class has too few of them.
    """
    prepare_devices()
    with study.lock(), memory_errors():
        manifest = study.manifest()
        data = reopen_data(study, manifest)
        audit = _audit(study, manifest, data, progress)
        folder = study.audit_path
        folder.mkdir(exist_ok=True)
        write_text(folder / "label-issues.csv", csv_text(issues_table(audit.issues)))
        write_text(folder / "shortcuts.csv", csv_text(shortcuts_table(audit.shortcuts)))
        page = audit_page(audit, lambda file: locate(data.folder.roots, file))
        write_text(folder / "audit.html", page)
        write_record(folder / "audit.json", audit)
    return audit


def _audit(
    study: StudyFolder, manifest: StudyRecord, data: StudyData, progress: Progress
) -> AuditRecord:
    rows = [row for subset in SUBSETS for row in data.of(subset)]
    classes = manifest.classes
    labels = np.array([classes.index(row.label) for row in rows])
    folds = audit_folds(rows, seed=manifest.options.seed)
    features = _features(study, manifest, data, progress)
    predicted = _stored_predictions(study, rows, classes) or _Predicted(
        predict_out_of_fold(features, labels, folds, classes=len(classes)),
        "logistic regression",
        len(folds),
    )
    with progress.counting("measuring images", len(rows)) as done:
        measured = measure_images(data.folder.roots, rows, on_image=lambda: done(1))
    groups = [row.group or row.sha256 for row in rows]
    positive = find_positive_class(classes, manifest.positive_class)
    return AuditRecord(
        study=study.name,
        created=now(),
        commit=git_commit(),
        images=len(rows),
        classes=dict(sorted(Counter(row.label for row in rows).items())),
        predictions=OutOfFold(
            source=predicted.source,
            folds=predicted.folds,
            accuracy=float((predicted.probabilities.argmax(axis=1) == labels).mean()),
        ),
        conflicts=manifest.conflicts or _kept_conflicts(manifest, rows),
        issues=find_label_issues(rows, classes, predicted.probabilities, features),
        shortcuts=find_shortcuts(measured, groups, classes, positive),
    )


def _features(
    study: StudyFolder, manifest: StudyRecord, data: StudyData, progress: Progress
) -> NDArray[np.float32]:
    options = manifest.options
    weights = load_weights(options.weights, seed=options.seed)
    require_same_weights(study, manifest.weights_sha256, weights)
    precision = choose_precision(manifest.precision)
    network = Network(weights, classes=len(manifest.classes), precision=precision)
    subsets = [data.subset(name) for name in SUBSETS]
    return frozen_features(
        network, subsets, size=max(image_sizes(options.space)), progress=progress
    )


def _stored_predictions(
    study: StudyFolder, rows: Sequence[SplitRow], classes: Sequence[str]
) -> _Predicted | None:
    """Those of a search with folds, if they have every image."""
    path = study.out_of_fold_path
    best = find_best(study.trials(), study.manifest().options)
    original = study.trials_path / f"{best.trial if best else ''}.csv"  # of which it is a copy
    if not path.exists() and not original.exists():
        return None
    try:
        if original.exists() and path.read_bytes() != original.read_bytes():
            raise damaged(path, "other content", f"the content of {original}")
        table = pd.read_csv(path, dtype={"file": str}, keep_default_na=False)
        table = table.set_index(table["file"].map(from_csv_cell))
        columns = table[[f"p_{name}" for name in classes]].astype(float)
        folds = table["fold"].nunique()
    except (OSError, ValueError, KeyError) as error:
        raise damaged(path, str(error), "a probability of each class for each image") from error
    if set(table.index) != {row.file for row in rows}:
        return None  # the search took a sample of the images
    found = columns.loc[[row.file for row in rows]].to_numpy()
    return _Predicted(found, "search", folds)


def _kept_conflicts(manifest: StudyRecord, rows: Sequence[SplitRow]) -> list[list[str]]:
    """Near-duplicates of several labels that the search did not exclude."""
    if not manifest.options.keep_conflicts or manifest.options.split_by:
        return []  # a group of the user has images of any class
    members: dict[str, list[SplitRow]] = defaultdict(list)
    for row in rows:
        members[row.group].append(row)
    return [[r.file for r in m] for m in members.values() if len({r.label for r in m}) > 1]
