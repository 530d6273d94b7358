"""Images for the report that need TensorFlow: Grad-CAM heat maps and augmented views."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from PIL import Image

from concrete_study.datasets.augmentation import apply_transforms, view_transforms
from concrete_study.datasets.decoding import decode_image
from concrete_study.datasets.files import replacing_folder, write_text
from concrete_study.datasets.folders import locate
from concrete_study.datasets.loading import StudyData
from concrete_study.models.classifier import Classifier
from concrete_study.models.export import KERAS_FILE, open_keras_file, summary_text
from concrete_study.results.evaluation import read_predictions
from concrete_study.results.evaluation_records import FilesRecord
from concrete_study.results.folder import StudyFolder
from concrete_study.results.report.images import MOST, SIZE, training_samples
from concrete_study.results.report.scores import (
    image_predictions,
    least_confident,
    misclassified,
)
from concrete_study.results.stored import FILES_FILE, file_checksums, write_record
from concrete_study.study.explanation import explain_image


def illustrate(study: StudyFolder, data: StudyData, views: int) -> None:
    """Replaces `best/illustrations/`, which `study report` shows, completely or not at all.

    Args:
        study: A retrained study.
        data: Its images.
        views: Number of augmented views to show, the unaugmented one included.
    """
    model = study.best_path / KERAS_FILE
    classifier = Classifier(model)
    with replacing_folder(study.illustrations_path) as folder:
        _write_grad_cam(classifier, data, read_predictions(study.predictions_path), folder)
        files = [training_samples(data.rows, label)[0] for label in data.folder.classes]
        _write_views(data, files, views, classifier.size, folder)
        write_text(folder / "base.txt", summary_text(_base_model(model)))
        write_record(folder / FILES_FILE, FilesRecord(files=file_checksums(folder)))


def _base_model(model: Path) -> keras.Model:
    whole = open_keras_file(model)
    return keras.Model(whole.input, whole.get_layer("block5_pool").output, name="vgg16")


def _write_grad_cam(
    classifier: Classifier, data: StudyData, predictions: pd.DataFrame, folder: Path
) -> None:
    """Each misclassified or least confident image of the report, next to its heat map."""
    classes, rows = data.folder.classes, {row.file: row for row in data.rows}
    images = image_predictions(predictions, classes)
    for shown in (misclassified(images).head(MOST), least_confident(images, MOST)):
        for file, predicted in zip(shown["file"], shown["predicted"], strict=True):
            image, target = locate(data.folder.roots, file), classes.index(predicted)
            to = folder / "grad_cam" / f"{rows[file].sha256}.jpg"
            explain_image(classifier, image, to, target=target, side=SIZE)


def _write_views(
    data: StudyData, files: Sequence[str], views: int, size: int, folder: Path
) -> None:
    """The unaugmented image and its augmented views, for one training image of each class."""
    rows = {row.file: row for row in data.rows}
    for number, file in enumerate(files):
        image = decode_image(locate(data.folder.roots, file), size)
        for view in range(views):
            transform = view_transforms([rows[file].sha256], view, size)
            augmented = apply_transforms(image[None], transform).numpy()[0]
            small = Image.fromarray(augmented.round().astype(np.uint8)).resize((SIZE, SIZE))
            _save(small, folder / "views" / f"{number}-{view:02d}.jpg")


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "JPEG", quality=85)
