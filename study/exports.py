"""Exports of the retrained model, with figures and the model card."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from concrete_study.datasets.batches import image_batches
from concrete_study.datasets.loading import StudyData
from concrete_study.datasets.progress import Progress
from concrete_study.models.devices import memory_errors, prepare_devices
from concrete_study.models.export import KERAS_FILE, check_exports, export_model
from concrete_study.results.card import write_card
from concrete_study.results.evaluation import final_rows, read_predictions
from concrete_study.results.evaluation_records import RetrainingRecord
from concrete_study.results.figures import save_figure
from concrete_study.results.folder import StudyFolder
from concrete_study.results.learning_curves import curves_table, draw_retraining
from concrete_study.results.records import StudyRecord
from concrete_study.results.report.score_figures import draw_confusion
from concrete_study.results.report.scores import confusion_table
from concrete_study.search.images import reopen_data
from concrete_study.search.space import configuration_of
from concrete_study.study.illustrations import illustrate
from concrete_study.study.room import require_export_room

CHECKED_IMAGES = 16  # how many test images the check of an export takes


def export(
    study: StudyFolder, metrics: RetrainingRecord, progress: Progress, formats: Sequence[str]
) -> RetrainingRecord:
    """Writes and checks exports, and writes figures and model card next to them.

    Args:
        study: A retrained study.
        metrics: Its metrics.
        progress: Receives messages.
        formats: Names of `models.export.EXPORTS`.

    Returns:
        The metrics with `exports`, each export's largest difference from the trained model.

    Raises:
        ResourceError: If there is no space for them, one does not load, or its predictions differ.
    """
    prepare_devices()
    with study.lock(), memory_errors():
        manifest, folder = study.manifest(), study.best_path
        require_export_room(folder / KERAS_FILE, formats)
        data = reopen_data(study, manifest)
        progress.log("Exporting, and loading each export in a new process ...")
        images, expected = _checked_images(study, manifest, data)
        for stale in folder.glob(".export-*"):  # of a process that was killed
            shutil.rmtree(stale)
        with TemporaryDirectory(dir=folder, prefix=".export-") as scratch:
            export_model(folder / KERAS_FILE, Path(scratch), formats)
            made = sorted(Path(scratch).iterdir())
            differences = check_exports([folder / KERAS_FILE, *made], images, expected)
            for path in made:
                shutil.rmtree(folder / path.name, ignore_errors=True)
                path.replace(folder / path.name)
        # Exports of an earlier call, and their differences, are kept.
        metrics = replace(metrics, exports=metrics.exports | differences)
        illustrate(study, data, manifest.features.views)
        curve = curves_table("weights", {"pretrained": metrics})
        save_figure(draw_retraining(curve), folder / "curves.png")
        confusion = draw_confusion(confusion_table(metrics.test))
        save_figure(confusion, folder / "confusion-matrix.png")
        study.write_metrics(metrics)
        write_card(study)
    return metrics


def _checked_images(
    study: StudyFolder, manifest: StudyRecord, data: StudyData
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Some test images of all classes, and the trained model's predictions for them."""
    test = data.subset("test")
    spread = np.unique(np.linspace(0, len(test) - 1, CHECKED_IMAGES).astype(np.int64))
    metrics = study.required_metrics()
    size = configuration_of(metrics.hyperparameters).image_size
    batch, _ = next(image_batches(test, size=size, batch_size=len(spread), order=spread))
    final = final_rows(read_predictions(study.predictions_path))
    columns = [f"p_{name}" for name in manifest.classes]
    return batch.numpy(), final[columns].to_numpy(np.float64)[spread]
