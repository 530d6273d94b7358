"""The best trial of a study, retrained and evaluated, or its stored result, and what is added."""

from collections.abc import Sequence
from typing import NamedTuple

from concrete_study.datasets.errors import RetrainedError
from concrete_study.models.quiet import import_tensorflow
from concrete_study.results.evaluation_records import RetrainingRecord
from concrete_study.results.folder import StudyFolder
from concrete_study.results.trials import best_trial
from concrete_study.search.progress import SearchProgress

TRAINED_ON = {
    "fresh": "images, with new augmentation in every epoch",
    "stored": "stored features of the search's augmented views",
}


class Retraining(NamedTuple):
    """How the best trial is trained; `study.retraining.retrain` has the meaning of each part."""

    epochs: int | None = None
    fresh_views: bool = False
    calibrate: bool = True

    def ensure_stored(self, study: StudyFolder, metrics: RetrainingRecord) -> None:
        """Checks that a stored result is what a training with these options gives.

        Raises:
            RetrainedError: If it is not.
        """
        if (
            (not self.fresh_views or metrics.views == "fresh")
            and self.epochs in (None, metrics.epochs)
            and (self.calibrate or metrics.calibration is None)
        ):
            return
        raise RetrainedError(
            f"study {study.name} is already retrained.",
            "Expected the same epochs, fresh_views and calibrate, or none of them; it was trained "
            f"for {metrics.epochs} epochs on {TRAINED_ON[metrics.views]}"
            f"{', and calibrated' if metrics.calibration else ''}.",
            study=study.name,
        )


def retrained(
    study: StudyFolder,
    retraining: Retraining,
    progress: SearchProgress,
    *,
    again: bool = False,
    formats: Sequence[str] = (),
    scratch: bool = False,
    tensorboard: bool = False,
) -> RetrainingRecord:
    """Retrains and evaluates the best trial unless that is done, and adds what is asked for.

    Args:
        study: A finished study.
        retraining: How it is trained.
        progress: Receives messages and progress.
        again: Whether to replace a stored result.
        formats: Export formats, names of `models.export.EXPORTS`; none writes no export.
        scratch: Whether to train the same recipe from random weights, too.
        tensorboard: Whether to write event files for TensorBoard.

    Raises:
        StudyError: See `study.retraining.retrain` and `study.exports.export`.
        RetrainedError: If the stored result was trained in another way.
    """
    metrics = study.metrics()
    if formats:
        import_tensorflow()
        from concrete_study.models.export import require_exporters

        require_exporters(formats)
    if metrics is None or again:
        if metrics is not None:
            progress.log("Replacing the stored model, exports and figures.")
        metrics = _retrain(study, retraining, progress, formats)
    else:
        retraining.ensure_stored(study, metrics)
        progress.log(f"Study {study.name}: using the stored result; retraining replaces it.")
        _log_better_trial(study, metrics, progress)
    if scratch and not study.scratch_path.exists():
        _train_from_scratch(study, progress)
    if tensorboard:
        _write_curves(study, metrics)
    if formats:
        from concrete_study.study.exports import export

        metrics = export(study, metrics, progress, formats)
    return metrics


def _retrain(
    study: StudyFolder,
    retraining: Retraining,
    progress: SearchProgress,
    formats: Sequence[str],
) -> RetrainingRecord:
    import_tensorflow()
    from concrete_study.study.retraining import retrain

    return retrain(
        study,
        progress,
        epochs=retraining.epochs,
        fresh_views=retraining.fresh_views,
        calibrated=retraining.calibrate,
        formats=formats,
    )


def _train_from_scratch(study: StudyFolder, progress: SearchProgress) -> None:
    import_tensorflow()
    from concrete_study.study.scratch import train_from_scratch

    train_from_scratch(study, progress)


def _write_curves(study: StudyFolder, metrics: RetrainingRecord) -> None:
    import_tensorflow()
    from concrete_study.search.tensorboard import write_best

    write_best(study.tensorboard_path / "best", metrics.curve)


def _log_better_trial(
    study: StudyFolder, metrics: RetrainingRecord, progress: SearchProgress
) -> None:
    """Logs a better trial that a resumed search found after the retraining."""
    best = best_trial(study.trials(), study.manifest().options)
    if best.trial != metrics.trial:
        progress.log(
            f"The stored result is of trial {metrics.trial}; the resumed search has found a "
            f"better one, trial {best.trial}."
        )
