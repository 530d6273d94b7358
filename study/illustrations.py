"""A report's pictures that need TensorFlow: where the model looked, what it was trained on."""

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
from concrete_study.models.export import KERAS_FILE, summary_text
from concrete_study.results.evaluation import read_predictions
from concrete_study.results.folder import StudyFolder
from concrete_study.results.overlays import overlay
from concrete_study.results.report.images import (
    MOST,
    SIZE,
    least_confident,
    most_confident_errors,
    samples,
)
from concrete_study.results.report.scores import answers


def illustrate(study: StudyFolder, data: StudyData, views: int) -> None:
    """Writes `best/illustrations/`, which `study report` shows, whole or not at all.

    Args:
        study: One that is retrained.
        data: Its images.
        views: How many augmented views are shown of a photograph.
    """
    model = study.best_path / KERAS_FILE
    classifier = Classifier(model)
    with replacing_folder(study.illustrations_path) as folder:
        _write_attention(classifier, data, read_predictions(study.predictions_path), folder)
        files = [samples(data.rows, label)[0] for label in data.folder.classes]
        _write_views(data, files, views, classifier.size, folder)
        write_text(folder / "base.txt", summary_text(_base(model)))


def _base(model: Path) -> keras.Model:
    whole = keras.models.load_model(model, compile=False)
    return keras.Model(whole.input, whole.get_layer("block5_pool").output, name="vgg16")


def _write_attention(
    classifier: Classifier, data: StudyData, predictions: pd.DataFrame, folder: Path
) -> None:
    """Each photograph that a report shows among the answers, beside its Grad-CAM overlay."""
    classes, rows = data.folder.classes, {row.file: row for row in data.rows}
    all_answers = answers(predictions, classes)
    for shown in (most_confident_errors(all_answers).head(MOST), least_confident(all_answers)):
        for file, predicted in zip(shown["file"], shown["predicted"], strict=True):
            image = decode_image(locate(data.folder.roots, file), classifier.size)
            heat = classifier.grad_cam(image, classes.index(predicted))
            both = Image.new("RGB", (2 * SIZE, SIZE))
            for place, picture in enumerate((Image.fromarray(image), overlay(image, heat))):
                both.paste(picture.resize((SIZE, SIZE)), (place * SIZE, 0))
            _save(both, folder / "grad_cam" / f"{rows[file].sha256}.jpg")


def _write_views(
    data: StudyData, files: Sequence[str], views: int, size: int, folder: Path
) -> None:
    """What training sees of one photograph of each class: the plain image, and view after view."""
    rows = {row.file: row for row in data.rows}
    for number, file in enumerate(files):
        image = decode_image(locate(data.folder.roots, file), size)
        for view in range(views):
            transform = view_transforms([rows[file].sha256], view, size)
            seen = apply_transforms(image[None], transform).numpy()[0].round().astype(np.uint8)
            small = Image.fromarray(seen).resize((SIZE, SIZE))
            _save(small, folder / "views" / f"{number}-{view:02d}.jpg")


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "JPEG", quality=85)
