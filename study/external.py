"""A retrained model on other photographs: what its score is worth where it was not trained."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from concrete_study.datasets.batches import subset_of
from concrete_study.datasets.errors import DataError, UsageError
from concrete_study.datasets.files import write_json, write_text
from concrete_study.datasets.folders import ImageFolder, LabelledImage, Roots, locate
from concrete_study.datasets.groups import group_images
from concrete_study.datasets.progress import Progress
from concrete_study.datasets.reading import find_near_duplicates, read_folders
from concrete_study.datasets.splits import EXTERNAL, SplitRow, read_split
from concrete_study.models.classifier import Classifier, predict_images
from concrete_study.models.devices import memory_errors, prepare_devices
from concrete_study.models.export import KERAS_FILE
from concrete_study.results.card import write_card
from concrete_study.results.environment import git_commit, versions
from concrete_study.results.evaluation import evaluate, prediction_rows, read_predictions
from concrete_study.results.folder import StudyFolder
from concrete_study.search.images import stored_roots
from concrete_study.search.manifest import now


def evaluate_external(
    study: StudyFolder, root: Path, names: Mapping[str, str], progress: Progress
) -> dict[str, Any]:
    """Tests a study's retrained model on another folder.

    Pictures that the study trained, validated or tested on, and copies of them, are left out.

    Args:
        study: One that `study best` has retrained.
        root: Folder with one sub-folder per class.
        names: The study's class by the folder's, where they are called otherwise.
        progress: Told of the passes over the images.

    Returns:
        The content of `evaluations/<folder>-<fingerprint>/metrics.json`.

    Raises:
        StudyStateError: If the study has no retrained model.
        UsageError: If `names` maps from or to an unknown class.
        DataError: If the folder cannot be read, or no image of it is left.
    """
    prepare_devices()
    study.required_metrics()
    manifest, model = study.manifest(), study.best_path / KERAS_FILE
    classes: list[str] = manifest["classes"]
    folder = read_folders({"": root}, progress)
    images = _renamed(folder, names, classes)
    unseen = _unseen(study, stored_roots(manifest), folder, images, progress)
    rows = [SplitRow(i.file, i.label, EXTERNAL, "", i.sha256) for i in unseen]
    with memory_errors(), progress.counting("testing", len(rows)) as done:
        probabilities = predict_images(
            Classifier(model),
            subset_of(folder.roots, rows, EXTERNAL, classes),
            batch_size=manifest["options"]["batch_size"],
            on_images=done,
        )
    truth = [row.label for row in rows]
    table = prediction_rows([r.file for r in rows], truth, classes, {"best": probabilities})
    place = study.evaluations_path / f"{_plain(root.resolve().name)}-{folder.fingerprint[:8]}"
    write_text(place / "predictions.csv", table.to_csv(index=False))
    metrics = {
        "study": study.name,
        "folder": place.name,
        "data": str(root.resolve()),
        "fingerprint": folder.fingerprint,
        "classes": dict(names),
        "left_out": len(images) - len(unseen),
        "faults": [fault._asdict() for fault in folder.faults],
        "test": evaluate(read_predictions(place / "predictions.csv"), classes),
        "evaluated": now(),
        "commit": git_commit(),
        "versions": versions(),
    }
    write_json(place / "metrics.json", metrics)
    if study.card_path.exists():
        write_card(study)  # its limits tell what other photographs showed
    return metrics


def _renamed(
    folder: ImageFolder, names: Mapping[str, str], classes: list[str]
) -> list[LabelledImage]:
    """The images under the study's names of their classes."""
    unknown = [f"{old}={new}" for old, new in names.items() if old not in folder.classes]
    unknown += [f"{old}={new}" for old, new in names.items() if new not in classes]
    found = {name: names.get(name, name) for name in folder.classes}
    strange = [old for old, new in found.items() if new not in classes]
    if unknown or strange:
        problem = f"--map {unknown[0]}" if unknown else f"the class {strange[0]}"
        raise UsageError(
            f"{problem} does not fit.",
            f"Expected the study's classes {', '.join(classes)}; the folder has "
            f"{', '.join(folder.classes)}.",
            f"--map {(strange or folder.classes)[0]}=CLASS, with one of {', '.join(classes)}.",
        )
    return [image._replace(label=found[image.label]) for image in folder.images]


def _unseen(
    study: StudyFolder,
    roots: Roots,
    folder: ImageFolder,
    images: list[LabelledImage],
    progress: Progress,
) -> list[LabelledImage]:
    """The images that are no copies of what the study trained, validated or tested on."""
    rows = read_split(study.split_path)
    known = {row.sha256: locate(roots, row.file) for row in rows}
    # Its test images too: they are opened by `study best` alone. Held-out folders are external.
    seen = {row.sha256 for row in rows if row.subset != EXTERNAL}
    here = {digest: path for digest, path in known.items() if path.is_file()}
    pairs = find_near_duplicates(folder, progress, others=here)
    old = [LabelledImage("", "", digest) for digest in known]
    groups = group_images([*old, *folder.images], [pair[:2] for pair in pairs])
    own = {groups[digest] for digest in seen}
    unseen = [image for image in images if groups[image.sha256] not in own]
    if len(here) < len(known):
        progress.log("The study's own images have gone: only byte-identical copies are found.")
    if len(unseen) < len(images):
        progress.log(
            f"{len(images) - len(unseen)} of {len(images)} images are left out: the study has the "
            "same pictures."
        )
    if not unseen:
        raise DataError(
            f"nothing in {folder.roots['']} is new to study {study.name}.",
            "Expected images that it neither trained on nor validated or tested on.",
            "--data of another folder; the study's own test is in study best.",
        )
    return unseen


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:60]
