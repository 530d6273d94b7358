"""Retraining of the best trial with the whole recipe, and its evaluation on the test split."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from concrete_study.datasets.errors import SearchError, UnfinishedStudyError
from concrete_study.datasets.files import replacing_folder, write_text
from concrete_study.datasets.splits import EXTERNAL
from concrete_study.models.devices import device_names, memory_errors, prepare_devices
from concrete_study.models.export import KERAS_FILE, parameter_counts, summary_text, trained_model
from concrete_study.models.head import Weights
from concrete_study.models.precision import Precision
from concrete_study.results.environment import git_commit, now, versions
from concrete_study.results.evaluation import evaluate, read_predictions
from concrete_study.results.evaluation_records import Parameters, Precisions, RetrainingRecord
from concrete_study.results.folder import StudyFolder
from concrete_study.results.formats import csv_text
from concrete_study.results.records import StudyRecord, Views
from concrete_study.results.runs import has_diverged
from concrete_study.results.stored import METRICS_FILE, file_checksums, write_record
from concrete_study.results.trials import remedy_of
from concrete_study.search.progress import SearchProgress
from concrete_study.search.training import Outcome
from concrete_study.study.calibration import calibrate
from concrete_study.study.evaluation import predict_subset, scores_by_dataset
from concrete_study.study.room import require_room
from concrete_study.study.saved_training import TrainingFile
from concrete_study.study.trial_training import TrialTraining

SAVED_TRAINING = ".training.npz"  # the last finished epoch, until the evaluation is written


def retrain(
    study: StudyFolder,
    progress: SearchProgress,
    *,
    epochs: int | None = None,
    fresh_views: bool = False,
    calibrated: bool = True,
    formats: Sequence[str] = (),
) -> RetrainingRecord:
    """Trains the best trial of the top rung with the recipe, and opens the test split.

    Every finished epoch is kept: after an interruption the same call continues bit for bit.

    Args:
        study: A finished study.
        progress: Receives messages and progress.
        epochs: Of both phases together; None takes the search's.
        fresh_views: Whether to use new augmented views in every epoch instead of the search's.
        calibrated: Whether a temperature is fitted to the validation images.
        formats: Export formats that need disk space afterwards.

    Returns:
        The content of `best/metrics.json`.

    Raises:
        StudyStateError: If the search is not finished, or the weights file has changed.
        DataError: If its images have changed.
        SearchError: If training diverged, or no trial is completed.
        ResourceError: If the disk has no space for the training and its results.
    """
    prepare_devices()
    with study.lock(), memory_errors():
        views: Views = "fresh" if fresh_views else "stored"
        job = TrialTraining(study, _finished(study), progress, epochs=epochs, views=views)
        start = time.monotonic()
        file = TrainingFile(study.path / SAVED_TRAINING, job.key)
        require_room(job.network, job.configuration, job.data, file.path, formats)
        outcome = job.train(file)
        try:
            with replacing_folder(study.best_path) as folder:
                _write(job, outcome, folder, start - file.seconds, calibrated=calibrated)
        except BaseException:
            progress.log("The finished training is kept; the same command evaluates it.")
            raise
        file.remove()
    return study.required_metrics()


def _write(
    job: TrialTraining, outcome: Outcome, folder: Path, start: float, *, calibrated: bool
) -> None:
    """Writes the model, opens the test split, and writes predictions and metrics."""
    best, calibration = {"best": outcome.checkpoints["best"]}, None
    if calibrated:
        best["calibrated"], calibration = calibrate(job, best["best"])
    parameters = _write_model(job, list(best.values())[-1], folder)
    _predict(job, best, "validation", folder / "validation.csv")
    # Recorded before the first look, so that no later crash can hide it.
    opened = [*job.manifest.test_opened, now()]
    job.manifest = replace(job.manifest, test_opened=opened)
    job.study.write_manifest(job.manifest)
    predictions = folder / "predictions.csv"
    checkpoints = outcome.checkpoints | best
    _predict(job, checkpoints, "test", predictions)
    if EXTERNAL in job.manifest.images:
        _predict(job, checkpoints, EXTERNAL, folder / "external.csv")
    record = RetrainingRecord(
        study=job.study.name,
        trial=job.trial.trial,
        hyperparameters=job.trial.hyperparameters,
        epochs=job.epochs,
        views=job.views,
        precision=Precisions(training=job.network.precision.name, test="float32"),
        best_epoch=outcome.best_epoch,
        curve=outcome.curve,
        calibration=calibration,
        parameters=parameters,
        backbone_parameters=job.network.backbone.count_params(),
        test=evaluate(read_predictions(predictions), job.classes, job.manifest.positive_class),
        by_dataset=scores_by_dataset(folder, job.data.folder, job.manifest.positive_class),
        test_opened=opened,
        commit=git_commit(),
        versions=versions(),
        devices=device_names(),
        seconds=round(time.monotonic() - start, 1),
        files=file_checksums(folder),
    )
    write_record(folder / METRICS_FILE, record)


def _predict(
    job: TrialTraining, checkpoints: Mapping[str, Weights], subset: str, path: Path
) -> None:
    """Writes the predictions of each checkpoint, in float32 as the exported model's."""
    table = predict_subset(
        job.network_in(Precision("float32", "as the exported model")),
        job.configuration,
        checkpoints,
        job.data,
        subset,
        batch_size=job.options.batch_size,
        progress=job.progress,
    )
    write_text(path, csv_text(table))


def _write_model(job: TrialTraining, trained: Weights, folder: Path) -> dict[str, Parameters]:
    """Writes the float32 model and its summary; returns its parameter counts."""
    model = trained_model(job.configuration, job.weights, trained, classes=len(job.classes))
    counts = parameter_counts(model, job.configuration.unfreeze_depth)
    model.save(folder / KERAS_FILE)
    write_text(folder / "summary.txt", summary_text(model))
    return {phase: Parameters(**count) for phase, count in counts.items()}


def _finished(study: StudyFolder) -> StudyRecord:
    """The manifest of a study, which has to be finished."""
    manifest = study.manifest()
    if has_diverged(study):
        records = study.trials()
        raise SearchError(
            f"The search of study {study.name} failed by its trials.",
            f"Expected {manifest.planned_trials} trials; the last of {len(records)} failed: "
            f"{records[-1].message}.",
            remedy_of([records[-1].message]),
        )
    if (state := study.state()) != "finished":
        raise UnfinishedStudyError(
            f"The search of study {study.name} is not finished.",
            f"Expected {manifest.planned_trials} trials; found {len(study.trials())} ({state}).",
            study=study.name,
        )
    return manifest
