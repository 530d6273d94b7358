"""`study best`: retrain the best trial, evaluate it on the test split, export it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concrete_study.cli.arguments import (
    DEFAULT_FORMATS,
    FormatsOption,
    StudyArgument,
    parse_formats,
    store_new_folders,
    typed,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from concrete_study.cli.display import Display
    from concrete_study.results.evaluation_records import RetrainingRecord
    from concrete_study.results.folder import StudyFolder

_TRAINED_ON = {
    "fresh": "images, with new augmentation in every epoch",
    "stored": "stored features of the search's augmented views",
}


def best_command(
    context: typer.Context,
    name: StudyArgument = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Epochs of both phases together.", show_default="as in the search"
        ),
    ] = None,
    fresh_views: Annotated[
        bool,
        typer.Option(
            "--fresh-views", help="New augmented views in every epoch: slower, no better."
        ),
    ] = False,
    calibrate: Annotated[
        bool,
        typer.Option(
            help="Fit a temperature to the validation images, so that confidence is not too high."
        ),
    ] = True,
    export: Annotated[
        bool, typer.Option("--export", help="Write exported models, figures and a model card.")
    ] = False,
    format: FormatsOption = DEFAULT_FORMATS,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write runs/NAME/tensorboard/best/.")
    ] = False,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="New folder of the images if they have moved; repeatable, in the same order.",
        ),
    ] = None,
    scratch: Annotated[
        bool, typer.Option("--scratch", help="Also train the same recipe from random weights.")
    ] = False,
    retrain: Annotated[
        bool,
        typer.Option("--retrain", help="Train and evaluate again and replace the stored result."),
    ] = False,
) -> None:
    """Retrain the best trial and evaluate it on the test split.

    Example: study best first --export
    """
    from concrete_study.cli.display import Display
    from concrete_study.datasets.errors import UsageError
    from concrete_study.results.runs import RUNS, open_study

    study = open_study(RUNS, name)
    store_new_folders(study, data)
    if not export and typed(context, "format"):
        raise UsageError("--format needs --export.", hint="add --export.")
    formats = parse_formats(format) if export else []
    with Display() as display:
        metrics = study.metrics()
        if metrics is None or retrain:
            if metrics is not None:
                display.log("Replacing the stored model, exports and figures.")
            metrics = _retrain(study, display, epochs, fresh_views, calibrate, formats)
        elif (
            (fresh_views and metrics.views != "fresh")
            or epochs not in (None, metrics.epochs)
            or (metrics.calibration is not None and not calibrate)
        ):
            raise UsageError(
                f"study {study.name} is already retrained.",
                "Expected the same --epochs, --fresh-views and --no-calibrate, or none of them; it "
                f"was trained for {metrics.epochs} epochs on {_TRAINED_ON[metrics.views]}"
                f"{', and calibrated' if metrics.calibration else ''}.",
                f"study best {study.name} --retrain with these options, or leave them out.",
            )
        else:
            display.log(f"Study {study.name}: printing the stored result; --retrain replaces it.")
            _log_better_trial(study, metrics, display)
        if scratch and not study.scratch_path.exists():
            _train_from_scratch(study, display)
        if tensorboard:
            _write_curves(study, metrics)
        if export:
            from concrete_study.study.exports import export as write_exports

            metrics = write_exports(study, metrics, display, formats)
    _print_metrics(study, metrics)
    if scratch:
        _print_scratch(study, metrics)


def _retrain(
    study: "StudyFolder",
    display: "Display",
    epochs: int | None,
    fresh_views: bool,
    calibrated: bool,
    formats: "Sequence[str]",
) -> "RetrainingRecord":
    from concrete_study.cli.quiet import import_tensorflow

    import_tensorflow()
    from concrete_study.study.retraining import retrain

    return retrain(
        study,
        display,
        epochs=epochs,
        fresh_views=fresh_views,
        calibrated=calibrated,
        formats=formats,
    )


def _train_from_scratch(study: "StudyFolder", display: "Display") -> None:
    from concrete_study.cli.quiet import import_tensorflow

    import_tensorflow()
    from concrete_study.study.scratch import train_from_scratch

    train_from_scratch(study, display)


def _write_curves(study: "StudyFolder", metrics: "RetrainingRecord") -> None:
    from concrete_study.cli.quiet import import_tensorflow

    import_tensorflow()
    from concrete_study.search.tensorboard import write_best

    write_best(study.tensorboard_path / "best", metrics.curve)


def _print_scratch(study: "StudyFolder", metrics: "RetrainingRecord") -> None:
    """Prints the best validation scores from pretrained and from random weights."""
    scratch = study.scratch()
    for start, record in (("pretrained", metrics), ("random", scratch)):
        if record is None:
            continue
        best = record.curve[record.best_epoch - 1]
        typer.echo(
            f"From {start} weights: val_loss {best.val_loss:.4f}, val_accuracy "
            f"{best.val_accuracy:.4f} at epoch {best.epoch}"
        )
    typer.echo("From random weights, layers that the recipe freezes keep their initial values.")


def _log_better_trial(
    study: "StudyFolder", metrics: "RetrainingRecord", display: "Display"
) -> None:
    """Logs a better trial that a resumed search found after the retraining."""
    from concrete_study.results.trials import best_trial

    best = best_trial(study.trials(), study.manifest().options)
    if best.trial != metrics.trial:
        display.log(
            f"The stored result is of trial {metrics.trial}; the resumed search has found a "
            f"better one, trial {best.trial}."
        )


def _print_metrics(study: "StudyFolder", metrics: "RetrainingRecord") -> None:
    from concrete_study.cli.scores import print_datasets, print_scores
    from concrete_study.datasets.splits import read_split
    from concrete_study.results.evaluation import clustered_accuracy, read_predictions
    from concrete_study.results.formats import counted
    from concrete_study.results.headlines import calibration_text
    from concrete_study.results.hyperparameters import describe

    # Before anything is printed: they raise an error if they are damaged.
    predictions, rows = read_predictions(study.predictions_path), read_split(study.split_path)
    typer.echo(f"Study {study.name}, trial {metrics.trial}: {describe(metrics.hyperparameters)}")
    trained = f"Trained {counted(metrics.epochs, 'epoch')} on {_TRAINED_ON[metrics.views]}"
    typer.echo(f"{trained}; best epoch: {metrics.best_epoch}.")
    if metrics.calibration is not None:
        typer.echo(calibration_text(metrics.calibration))
    typer.echo("")
    print_scores(metrics.test)
    print_datasets(metrics.by_dataset)
    if caution := clustered_accuracy(predictions, metrics.test.classes, rows):
        typer.echo(f"{caution}\n")
    if study.manifest().groups is None:
        typer.echo("Random split: test images may have near-duplicates among the training images.")
    opened = len(metrics.test_opened)
    if opened > 1:
        typer.echo(f"The test split was evaluated {opened} times: {', '.join(metrics.test_opened)}")
    for export, difference in metrics.exports.items():
        typer.echo(
            f"{export}: loads in a new process, predictions differ by at most {difference:.1e}"
        )
    typer.echo(f"Results: {study.best_path}/")
    typer.echo(f"Next: study report {study.name}, study predict IMAGES --study {study.name}")
