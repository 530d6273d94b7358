"""A trained model of a study, for the Python API: evaluation, prediction, explanation."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from concrete_study.models.quiet import import_tensorflow
from concrete_study.results.adaptation_record import AdaptationRecord
from concrete_study.results.evaluation import read_predictions
from concrete_study.results.evaluation_records import EvaluationRecord, RetrainingRecord
from concrete_study.results.folder import StudyFolder
from concrete_study.results.formats import number
from concrete_study.results.hyperparameters import describe
from concrete_study.results.model_folder import ModelFolder
from concrete_study.results.positive_class import find_positive_class
from concrete_study.study.html import html_table
from concrete_study.study.output_paths import ensure_empty, ensure_new_png
from concrete_study.study.reporting import ProgressOption, reporting
from concrete_study.study.threshold import choose_threshold

if TYPE_CHECKING:
    from pandas import DataFrame

    from concrete_study.models.classifier import Classifier
    from concrete_study.study.explanation import Explanation
    from concrete_study.study.prediction import Prediction

PathLike: TypeAlias = str | os.PathLike[str]


def store_new_folders(study: StudyFolder, folders: Sequence[PathLike]) -> None:
    """Stores the new folders of a study's images, if any are given; imports TensorFlow then.

    Raises:
        UsageError: If it is another number of folders.
        DataError: If an image is missing or has changed.
    """
    if not folders:
        return
    import_tensorflow()
    from concrete_study.search import moved_data

    moved_data.store_new_folders(study, [Path(folder) for folder in folders])


def _reported(
    rows: "Iterator[Prediction]", progress: ProgressOption, total: int
) -> "Iterator[Prediction]":
    from concrete_study.models.devices import memory_errors

    with (
        memory_errors(),
        reporting(progress) as receiver,
        receiver.counting("predicting", total, "files") as done,
    ):
        for row in rows:
            yield row
            done(1)


class Model:
    """The retrained best trial of a study, or one that is adapted to a site.

    From `Study.best`, `Study.adapt` or `open_model`.

    Args:
        folder: Its files.

    Example:
        >>> cs.open_model("first").name
        'first'
    """

    def __init__(self, folder: ModelFolder) -> None:
        self.folder = folder
        _ = self.metrics  # raises if there is no such model

    @property
    def name(self) -> str:
        """NAME of the study, or NAME:SITE.

        Example:
            >>> cs.open_model("first").name
            'first'
        """
        return self.folder.name

    @property
    def path(self) -> Path:
        """The folder that has `model.keras`.

        Example:
            >>> cs.open_model("first").path.as_posix()
            'runs/first/best'
        """
        return self.folder.path

    @property
    def classes(self) -> list[str]:
        """The classes, in the order of the model's output.

        Example:
            >>> cs.open_model("first").classes
            ['Negative', 'Positive']
        """
        return self.metrics.test.classes

    @property
    def metrics(self) -> RetrainingRecord | AdaptationRecord:
        """The content of `metrics.json`; `metrics.test` has the scores on the test split.

        Metrics are in [0, 1], losses in nats.

        Raises:
            NotRetrainedError: If the study has no retrained model.
            StudyStateError: If the record is damaged, or the model was retrained after it was
                adapted.

        Example:
            >>> best = cs.open_model("first")
            >>> 0 <= best.metrics.test.accuracy <= 1
            True
        """
        return self.folder.adaptation() or self.folder.study.required_metrics()

    def predictions(self) -> "DataFrame":
        """The stored predictions: of the test images, or those of the site by cross-validation.

        Returns:
            One row per image and checkpoint; columns `file`, `class` (the true one), `checkpoint`,
            `group` and, for each class, `p_CLASS`, its probability in [0, 1].

        Raises:
            StudyStateError: If the file is missing or damaged.

        Example:
            >>> table = cs.open_model("first").predictions()
            >>> [name for name in table.columns if name.startswith("p_")]
            ['p_Negative', 'p_Positive']
        """
        return read_predictions(self.path / "predictions.csv")

    def evaluate(
        self,
        data: PathLike,
        *,
        class_map: Mapping[str, str] | None = None,
        labels: PathLike | None = None,
        positive_class: str | None = None,
        study_data: Sequence[PathLike] = (),
        workers: int | None = None,
        cluster: str | None = None,
        progress: ProgressOption = None,
    ) -> EvaluationRecord:
        """Evaluates the model on an external test set, without near-duplicates of the study.

        Args:
            data: A folder with one sub-folder per class, or a zip file.
            class_map: The study's class by the folder's, where the names differ.
            labels: CSV file with the columns file and class, instead of class folders.
            positive_class: Instead of the study's.
            study_data: New folders of the study's own images if they have moved.
            workers: Number of processes that share the images (extra `cluster`), as in `search`.
            cluster: Address of a Ray cluster, which finds the images at the same paths.
            progress: Whether to show progress, see `search`.

        Returns:
            The scores, which are also stored; `record.test` is as in `metrics`.

        Raises:
            UsageError: If `class_map`, `labels` or `positive_class` cannot be used.
            DataError: If the folder cannot be read, or no image of it is new to the study.
            StudyStateError: If the study is in use by another process.

        Example:
            >>> record = cs.open_model("first").evaluate("other-site")
            >>> record.test.images
            28
        """
        store_new_folders(self.folder.study, study_data)
        import_tensorflow()
        from concrete_study.search.worker_options import WorkerOptions
        from concrete_study.study.external import evaluate_external

        with reporting(progress) as receiver:
            return evaluate_external(
                self.folder,
                Path(data),
                class_map or {},
                receiver,
                labels=None if labels is None else Path(labels),
                positive_class=positive_class,
                workers=WorkerOptions(workers, cluster),
            )

    def predict(
        self,
        paths: PathLike | Iterable[PathLike],
        *,
        threshold: float | None = None,
        recall: float | None = None,
        positive_class: str | None = None,
        max_megapixels: float | None = None,
        explain: PathLike | None = None,
        workers: int | None = None,
        cluster: str | None = None,
        progress: ProgressOption = None,
    ) -> "DataFrame":
        """Predicts the class of images, also of those that cannot be read.

        Args:
            paths: Files, folders or patterns, or one of them.
            threshold: Probability in [0, 1] from which the positive class is predicted; without
                `threshold` and `recall`, the class of the highest probability is.
            recall: Use the threshold with this recall, in (0, 1], on validation images.
            positive_class: Instead of the study's.
            max_megapixels: Largest image that is read, instead of the study's.
            explain: New folder for Grad-CAM overlays, one PNG per image.
            workers: Number of processes that share the files (extra `cluster`), as in `search`.
            cluster: Address of a Ray cluster, which finds the files at the same paths.
            progress: Whether to show progress, see `search`.

        Returns:
            One row per file, in order; columns `file`, `predicted`, `p_CLASS` for each class and
            `error`, the reason why a file cannot be read, else empty.

        Raises:
            UsageError: If an argument cannot be used.
            ResourceError: If workers are asked for without the extra.
            StudyStateError: If there are no predictions to choose a threshold by.

        Example:
            >>> table = cs.open_model("first").predict("other-site", threshold=0.5)
            >>> table.shape
            (28, 5)
        """
        from pandas import DataFrame

        rows = self.predict_rows(
            paths,
            threshold=threshold,
            recall=recall,
            positive_class=positive_class,
            max_megapixels=max_megapixels,
            explain=explain,
            workers=workers,
            cluster=cluster,
            progress=progress,
        )
        blanks = (None,) * len(self.classes)
        values = [
            (row.file, row.predicted or None, *(row.probabilities or blanks), row.error)
            for row in rows
        ]
        names = ["file", "predicted", *(f"p_{name}" for name in self.classes), "error"]
        numbers = dict.fromkeys(names[2:-1], "float64")
        return DataFrame(values, columns=names).astype(numbers)

    def predict_rows(
        self,
        paths: PathLike | Iterable[PathLike],
        *,
        threshold: float | None = None,
        recall: float | None = None,
        positive_class: str | None = None,
        max_megapixels: float | None = None,
        explain: PathLike | None = None,
        workers: int | None = None,
        cluster: str | None = None,
        progress: ProgressOption = None,
    ) -> "Iterator[Prediction]":
        """As `predict`, one row after the other, for any number of images.

        Args and errors are those of `predict`.

        Example:
            >>> row = next(cs.open_model("first").predict_rows("other-site"))
            >>> Path(row.file).as_posix(), len(row.probabilities)
            ('other-site/Negative/0000.jpg', 2)
        """
        if explain is not None:
            ensure_empty(Path(explain))
        manifest = self.folder.study.manifest()
        positive = find_positive_class(self.classes, positive_class or manifest.positive_class)
        with reporting(progress) as receiver:
            value = choose_threshold(
                self.folder, positive, receiver, threshold=threshold, recall=recall
            )
        import_tensorflow()
        from concrete_study.datasets.decoding import limit_pixels
        from concrete_study.models.export import KERAS_FILE
        from concrete_study.search.worker_options import WorkerOptions
        from concrete_study.study.explanation import with_overlays
        from concrete_study.study.image_paths import expand
        from concrete_study.study.prediction import predict_files, predict_on_workers

        options = WorkerOptions(workers, cluster)
        options.check()
        classifier = self._classifier  # raises if it is damaged, also for workers
        limit = manifest.options.max_megapixels if max_megapixels is None else max_megapixels
        limit_pixels(limit)
        given = [paths] if isinstance(paths, str | os.PathLike) else paths
        names = [os.fspath(path) for path in given]
        # Names on standard input can be read only once.
        total = 0 if "-" in names else sum(1 for _ in expand(names))
        if options.is_distributed:
            rows = predict_on_workers(
                self.path / KERAS_FILE,
                expand(names),
                self.classes,
                options,
                threshold=value,
                positive_class=positive,
                max_megapixels=limit,
            )
        else:
            rows = predict_files(
                classifier,
                expand(names),
                self.classes,
                threshold=value,
                positive_class=positive,
            )
        if explain is not None:
            rows = with_overlays(rows, classifier, self.classes, Path(explain))
        return _reported(rows, progress, total)

    def explain(
        self, image: PathLike, to: PathLike | None = None, *, layer: str = "block5_conv3"
    ) -> "Explanation":
        """Writes which image regions drive the predicted class (Grad-CAM).

        Args:
            image: The image file.
            to: A new PNG file, as large as the model's input; None is IMAGE-LAYER.png.
            layer: A convolution layer of VGG16.

        Returns:
            The file, the predicted class and its probability in [0, 1].

        Raises:
            UsageError: If `to` exists or is no PNG file, or there is no such layer.
            DataError: If the image cannot be read.

        Example:
            >>> best = cs.open_model("first")
            >>> best.explain("other-site/Positive/0000.jpg", "heat-map.png").path.name
            'heat-map.png'
        """
        target = None if to is None else Path(to)
        ensure_new_png(target)
        classifier = self._classifier
        from concrete_study.study.explanation import explain_prediction

        return explain_prediction(classifier, self.classes, Path(image), target, layer=layer)

    @cached_property
    def _classifier(self) -> "Classifier":
        import_tensorflow()
        from concrete_study.models.classifier import Classifier
        from concrete_study.models.devices import prepare_devices
        from concrete_study.models.export import KERAS_FILE

        prepare_devices()
        return Classifier(self.path / KERAS_FILE)

    def __repr__(self) -> str:
        return f"<Model {self.name}: test accuracy {number(self.metrics.test.accuracy)}>"

    def _repr_html_(self) -> str:
        study, test = self.folder.study.required_metrics(), self.metrics.test
        low, high = test.accuracy_interval
        values = {
            "trial": study.trial,
            "hyperparameters": describe(study.hyperparameters),
            "classes": ", ".join(self.classes),
            "test accuracy": f"{number(test.accuracy)} ({number(low)} to {number(high)})",
            "test loss": number(list(test.checkpoints.values())[-1].loss),
            "folder": self.path,
        }
        return html_table(f"Model {self.name}", values)
