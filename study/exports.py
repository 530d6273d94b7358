"""The retrained model as files for others: exports, figures and the model card."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from concrete_study.datasets.batches import image_batches
from concrete_study.datasets.files import write_json
from concrete_study.datasets.loading import StudyData
from concrete_study.datasets.progress import Progress
from concrete_study.models.devices import memory_errors, prepare_devices
from concrete_study.models.export import KERAS_FILE, check_exports, export_model
from concrete_study.results.card import write_card
from concrete_study.results.evaluation import final_rows, read_predictions
from concrete_study.results.figures import (
    collect_confusion,
    collect_learning_curves,
    draw_confusion,
    draw_learning_curves,
    save_figure,
)
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import EpochRecord
from concrete_study.search.images import reopen_data
from concrete_study.study.illustrations import illustrate

CHECKED_IMAGES = 16  # how many test images an export is compared on


def export(
    study: StudyFolder, metrics: dict[str, Any], progress: Progress, formats: Sequence[str]
) -> dict[str, Any]:
    """Writes exports, figures and model card beside the trained model, and checks them.

    Returns:
        The metrics with `exports`, each export's largest difference from the trained model.

    Raises:
        ResourceError: If an export does not load or predicts something else.
    """
    prepare_devices()
    with study.lock(), memory_errors():
        data = reopen_data(study, study.manifest())
        manifest, folder = study.manifest(), study.best_path
        progress.log("Exporting, and loading each export in a fresh process ...")
        images, expected = _checked_images(study, manifest, data)
        with TemporaryDirectory(dir=folder, prefix=".export-") as scratch:
            export_model(folder / KERAS_FILE, Path(scratch), formats)
            made = sorted(Path(scratch).iterdir())
            differences = check_exports([folder / KERAS_FILE, *made], images, expected)
            for path in made:
                shutil.rmtree(folder / path.name, ignore_errors=True)
                path.replace(folder / path.name)
        # Exports of an earlier call stay, and what was found of them.
        metrics = metrics | {"exports": metrics.get("exports", {}) | differences}
        illustrate(study, data, manifest["features"]["views"])
        curve = [EpochRecord(**epoch) for epoch in metrics["curve"]]
        curves = collect_learning_curves(curve, selected=metrics["best_epoch"])
        save_figure(draw_learning_curves(curves), folder / "curves.png")
        confusion = collect_confusion(metrics["test"])
        save_figure(draw_confusion(confusion), folder / "confusion-matrix.png")
        write_json(study.metrics_path, metrics)
        write_card(study)
    return metrics


def _checked_images(
    study: StudyFolder, manifest: dict[str, Any], data: StudyData
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Some test images of all classes, and what the trained model answered to them."""
    test = data.subset("test")
    spread = np.unique(np.linspace(0, len(test) - 1, CHECKED_IMAGES).astype(np.int64))
    size = manifest["options"]["image_size"]
    batch, _ = next(image_batches(test, size=size, batch_size=len(spread), order=spread))
    final = final_rows(read_predictions(study.predictions_path))
    columns = [f"p_{name}" for name in manifest["classes"]]
    return batch.numpy(), final[columns].to_numpy(np.float64)[spread]
