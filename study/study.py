"""A study, for the Python API: its trials, its best model, its report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from concrete_study.models.quiet import import_tensorflow
from concrete_study.results.folder import StudyFolder
from concrete_study.results.formats import number, plus_minus
from concrete_study.results.hyperparameters import describe
from concrete_study.results.model_folder import ModelFolder
from concrete_study.results.records import SearchOptions, State
from concrete_study.results.trials import find_best, leaderboard, trials_table
from concrete_study.search.progress import Callback
from concrete_study.study.best import Retraining, retrained
from concrete_study.study.html import html_table
from concrete_study.study.model import Model, PathLike, store_new_folders
from concrete_study.study.reporting import ProgressOption, reporting

if TYPE_CHECKING:
    from pandas import DataFrame

    from concrete_study.results.study_audit import AuditRecord

EXPORTS = ("keras", "saved-model")


class Study:
    """One search and all that came of it: a folder of plain files.

    From `search`, `open` or `list_studies`.

    Args:
        folder: Its files.

    Example:
        >>> cs.open("first")
        <Study first: finished, 2 trials>
    """

    def __init__(self, folder: StudyFolder) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        """The study's name.

        Example:
            >>> cs.open("first").name
            'first'
        """
        return self.folder.name

    @property
    def path(self) -> Path:
        """The study's folder.

        Example:
            >>> cs.open("first").path.as_posix()
            'runs/first'
        """
        return self.folder.path

    @property
    def options(self) -> SearchOptions:
        """The options of the search.

        Raises:
            StudyStateError: If study.json is damaged.

        Example:
            >>> cs.open("first").options.algorithm
            'grid'
        """
        return self.folder.manifest().options

    @property
    def state(self) -> State:
        """`running`, `finished`, `interrupted` or `failed`.

        Raises:
            StudyStateError: If study.json is damaged.

        Example:
            >>> cs.open("first").state
            'finished'
        """
        return self.folder.state()

    def trials(self) -> "DataFrame":
        """All trials, sorted by id.

        Returns:
            One row per trial, as in `trials.csv`: `trial`, `status`, `epochs` (the rung), one
            column per hyperparameter, the validation metrics of the best epoch, `score` (the
            objective), its `standard_error`, `seconds` and others.

        Raises:
            StudyStateError: If the record of a trial is damaged.

        Example:
            >>> cs.open("first").trials()[["trial", "status", "epochs"]].values.tolist()
            [['0', 'completed', 1], ['1', 'completed', 1]]
        """
        return trials_table(self.folder.trials())

    def leaderboard(self) -> "DataFrame":
        """The configurations, best first, each in one row: at the highest rung it completed.

        Returns:
            Columns `rung` (epochs), `rank` (from 1 within the rung), `trial`, `path` (its trials,
            from the first rung on), one per hyperparameter, the validation metrics, `score`,
            `standard_error`, `best_epoch` and `seconds`.

        Raises:
            StudyStateError: If a record is damaged.

        Example:
            >>> cs.open("first").leaderboard()["rank"].tolist()
            [1, 2]
        """
        return leaderboard(self.folder.trials(), objective=self.options.objective)

    def best(
        self,
        export: bool = False,
        *,
        epochs: int | None = None,
        fresh_views: bool = False,
        calibrate: bool = True,
        formats: Sequence[str] = EXPORTS,
        retrain: bool = False,
        scratch: bool = False,
        tensorboard: bool = False,
        data: Sequence[PathLike] = (),
        progress: ProgressOption = None,
        callbacks: Sequence[Callback] = (),
    ) -> Model:
        """Retrains the best trial and evaluates it on the test split, unless that is done.

        After an interruption the same call continues bit for bit.

        Args:
            export: Whether to write exported models, figures and a model card.
            epochs: Of both phases together; None takes those of the search.
            fresh_views: New augmented views in every epoch: slower, no better.
            calibrate: Fit a temperature to the validation images, so that confidence is not too
                high.
            formats: Of the exports: keras, saved-model, litert, onnx.
            retrain: Train and evaluate again and replace the stored result.
            scratch: Also train the same recipe from random weights.
            tensorboard: Also write event files for TensorBoard.
            data: New folders of the images if they have moved, in the same order.
            progress: Whether to show progress, see `search`.
            callbacks: Receive every epoch, see `search`.

        Returns:
            The retrained model.

        Raises:
            UnfinishedStudyError: If the search is not finished.
            RetrainedError: If the stored result was trained in another way.
            DataError: If the images have changed.
            SearchError: If training diverged, or no trial is completed.
            ResourceError: If the disk has no space, or an export does not load.

        Example:
            >>> best = cs.open("first").best()
            >>> best.metrics.test.images
            4
        """
        store_new_folders(self.folder, data)
        with reporting(progress, callbacks) as receiver:
            retrained(
                self.folder,
                Retraining(epochs, fresh_views, calibrate),
                receiver,
                again=retrain,
                formats=formats if export else (),
                scratch=scratch,
                tensorboard=tensorboard,
            )
        return Model(ModelFolder(self.folder))

    def adapt(
        self,
        data: PathLike,
        export: bool = False,
        *,
        site: str | None = None,
        class_map: Mapping[str, str] | None = None,
        labels: PathLike | None = None,
        split_by: str | None = None,
        formats: Sequence[str] = EXPORTS,
        unlabelled: bool = False,
        progress: ProgressOption = None,
    ) -> Model:
        """Adapts the retrained model to another site by labelled images; the study is unchanged.

        Args:
            data: 20 to 100 images: a folder with one sub-folder per class, or a zip file.
            export: Whether to write exported models too.
            site: Name of the result; None takes the folder's.
            class_map: The study's class by the folder's, where the names differ.
            labels: CSV file with the columns file and class, instead of class folders.
            split_by: Groups that cross-validation keeps together: prefix (of file names), or a
                CSV file with the columns file and group.
            formats: Of the exports: keras, saved-model, litert, onnx.
            unlabelled: The images have no labels: adapt to the proportions of classes.
            progress: Whether to show progress, see `search`.

        Returns:
            A model of its own, `open_model("STUDY:SITE")`.

        Raises:
            NotRetrainedError: If the study is not retrained.
            UsageError: If an argument cannot be used.
            DataError: If the folder cannot be read, or has too few images.

        Example:
            >>> cs.open("first").adapt("other-site").name
            'first:other-site'
        """
        import_tensorflow()
        from concrete_study.models.export import require_exporters
        from concrete_study.study.adaptation import adapt
        from concrete_study.study.unlabelled_adaptation import adapt_unlabelled

        written = formats if export else ()
        require_exporters(written)
        with reporting(progress) as receiver:
            if unlabelled:
                record = adapt_unlabelled(
                    self.folder, Path(data), receiver, site=site, formats=written
                )
            else:
                record = adapt(
                    self.folder,
                    Path(data),
                    class_map or {},
                    receiver,
                    site=site,
                    labels=None if labels is None else Path(labels),
                    split_by=split_by,
                    formats=written,
                )
        return Model(ModelFolder(self.folder, record.site))

    def audit(
        self, *, data: Sequence[PathLike] = (), progress: ProgressOption = None
    ) -> "AuditRecord":
        """Looks for wrong labels and shortcuts among the training and validation images.

        Args:
            data: New folders of the images if they have moved.
            progress: Whether to show progress, see `search`.

        Returns:
            The content of `audit/audit.json`; `audit/audit.html` shows the images.

        Raises:
            StudyStateError: If the study is in use by another process.
            DataError: If its images have changed.

        Example:
            >>> cs.open("first").audit().conflicts
            []
        """
        store_new_folders(self.folder, data)
        import_tensorflow()
        from concrete_study.study.audit import audit_study

        with reporting(progress) as receiver:
            return audit_study(self.folder, receiver)

    def report(self) -> Path:
        """Writes the report with its figures and tables; trains and evaluates nothing.

        Returns:
            The HTML page, one file, in `report/` of the study's folder.

        Raises:
            StudyStateError: If a file of the study is damaged.

        Example:
            >>> cs.open("first").report().as_posix()
            'runs/first/report/report.html'
        """
        from concrete_study.results.report.writing import write_report

        return write_report(self.folder)

    def __repr__(self) -> str:
        return f"<Study {self.name}: {self.state}, {len(self.folder.trials())} trials>"

    def _repr_html_(self) -> str:
        manifest, trials, metrics = (
            self.folder.manifest(),
            self.folder.trials(),
            self.folder.metrics(),
        )
        best = find_best(trials, manifest.options)
        values = {
            "state": self.state,
            "created": manifest.created,
            "algorithm": manifest.options.algorithm,
            "trials": f"{len(trials)} of {manifest.planned_trials}",
            "classes": ", ".join(manifest.classes),
            "images": ", ".join(f"{count} {name}" for name, count in manifest.images.items()),
            "objective": manifest.options.objective,
            "best trial": best and best.trial,
            "score": best and plus_minus(best.score or 0.0, best.standard_error),
            "hyperparameters": best and describe(best.hyperparameters),
            "test accuracy": metrics and number(metrics.test.accuracy),
            "folder": self.path,
        }
        return html_table(f"Study {self.name}", values)
