"""The disk space that a retraining and its exports need, checked before the training."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from concrete_study.datasets.errors import ResourceError
from concrete_study.datasets.files import MEGABYTE
from concrete_study.datasets.loading import StudyData
from concrete_study.models.configuration import Configuration
from concrete_study.models.network import unfrozen
from concrete_study.models.trainable import Network

FLOAT32 = 4
# Figures, the model card and the graph of a SavedModel: 4 MB measured, with overlays.
SMALL_FILES = 10e6
_CHECKPOINTS = 5  # in predictions.csv: before training, after each phase, best, calibrated
_DIGITS = 24  # of a probability, with its separator


def require_room(
    network: Network,
    configuration: Configuration,
    data: StudyData,
    training_file: Path,
    formats: Sequence[str] = (),
) -> None:
    """Checks that the disk has space for the training file, the model, predictions and exports.

    Args:
        network: Has the backbone.
        configuration: What is trained.
        data: The images of the study.
        training_file: In the study's folder; while it is replaced there are two.
        formats: Names of `models.export.EXPORTS`; each has all weights again.

    Raises:
        ResourceError: If more is needed than is free.
    """
    head = network.trainable(configuration.architecture(0)).variables
    of_head = FLOAT32 * sum(variable.shape.num_elements() for variable in head)
    convolutions = [network.weights.layers[name] for name in unfrozen(configuration.unfreeze_depth)]
    fine_tuned = FLOAT32 * sum(kernel.size + bias.size for kernel, bias in convolutions)
    # Weights after phase 2, of the best epoch, and RMSprop's; the head's also before training and
    # after phase 1.
    training = 3 * fine_tuned + 5 * of_head
    model = FLOAT32 * network.backbone.count_params() + of_head
    exports = len([name for name in formats if name != "keras"]) * model
    predictions = _predictions_size(data)
    results = model + predictions + exports + SMALL_FILES
    stored = training_file.stat().st_size if training_file.exists() else 0
    needed = max(2 * training - stored, training - stored + results)
    if (free := shutil.disk_usage(training_file.parent).free) < needed:
        raise ResourceError(
            f"No disk space for the retrained model in {training_file.parent}.",
            f"Expected {needed / MEGABYTE:.0f} MB (training {training / MEGABYTE:.0f}, model "
            f"{model / MEGABYTE:.0f}, exports {exports / MEGABYTE:.0f}, predictions "
            f"{predictions / MEGABYTE:.0f}); {free / MEGABYTE:.0f} MB are free.",
            "free some space, or fewer export formats.",
        )


def require_export_room(model: Path, formats: Sequence[str]) -> None:
    """Checks that the disk has space for exports of a stored model.

    Args:
        model: The `.keras` file.
        formats: Names of `models.export.EXPORTS`.

    Raises:
        ResourceError: If more is needed than is free.
    """
    further = len([name for name in formats if name != "keras"])
    needed = further * (model.stat().st_size if model.exists() else 0) + SMALL_FILES
    if (free := shutil.disk_usage(model.parent).free) < needed:
        raise ResourceError(
            f"No disk space for exports in {model.parent}.",
            f"Expected {needed / MEGABYTE:.0f} MB; {free / MEGABYTE:.0f} MB are free.",
            "free some space, or fewer export formats.",
        )


def _predictions_size(data: StudyData) -> int:
    """Bytes of validation.csv, predictions.csv and external.csv, at most."""
    tables = {"train": 0, "validation": 1}  # test and external images have all checkpoints
    return sum(
        tables.get(row.subset, _CHECKPOINTS)
        * (len(row.file.encode()) + len(row.label.encode()) + _DIGITS * len(data.folder.classes))
        for row in data.rows
    )
