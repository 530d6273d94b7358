"""`study best`: retrain the best trial, evaluate it on the test split, export it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concrete_study.cli.arguments import (
    DEFAULT_FORMATS,
    FormatsOption,
    StudyArgument,
    split_formats,
    typed,
)
from concrete_study.cli.output import echo

if TYPE_CHECKING:
    from concrete_study.results.evaluation_records import RetrainingRecord
    from concrete_study.results.folder import StudyFolder


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
    from concrete_study.datasets.errors import UsageError
    from concrete_study.results.runs import RUNS, open_study
    from concrete_study.study.study import Study

    study = open_study(RUNS, name)
    if not export and typed(context, "format"):
        raise UsageError("--format needs --export.", hint="add --export.")
    Study(study).best(
        export,
        epochs=epochs,
        fresh_views=fresh_views,
        calibrate=calibrate,
        formats=split_formats(format),
        retrain=retrain,
        scratch=scratch,
        tensorboard=tensorboard,
        data=data or (),
        progress=True,
    )
    metrics = study.required_metrics()
    _print_metrics(study, metrics)
    if scratch:
        _print_scratch(study, metrics)


def _print_scratch(study: "StudyFolder", metrics: "RetrainingRecord") -> None:
    """Prints the best validation scores from pretrained and from random weights."""
    scratch = study.scratch()
    for start, record in (("pretrained", metrics), ("random", scratch)):
        if record is None:
            continue
        best = record.curve[record.best_epoch - 1]
        echo(
            f"From {start} weights: val_loss {best.val_loss:.4f}, val_accuracy "
            f"{best.val_accuracy:.4f} at epoch {best.epoch}"
        )
    echo("From random weights, layers that the recipe freezes keep their initial values.")


def _print_metrics(study: "StudyFolder", metrics: "RetrainingRecord") -> None:
    from concrete_study.cli.scores import print_datasets, print_scores
    from concrete_study.results.evaluation import clustered_accuracy, read_predictions
    from concrete_study.results.formats import counted
    from concrete_study.results.headlines import calibration_text
    from concrete_study.results.hyperparameters import describe
    from concrete_study.study.best import TRAINED_ON

    # Before anything is printed: they raise an error if they are damaged.
    predictions, rows = read_predictions(study.predictions_path), study.split()
    echo(f"Study {study.name}, trial {metrics.trial}: {describe(metrics.hyperparameters)}")
    trained = f"Trained {counted(metrics.epochs, 'epoch')} on {TRAINED_ON[metrics.views]}"
    echo(f"{trained}; best epoch: {metrics.best_epoch}.")
    if metrics.calibration is not None:
        echo(calibration_text(metrics.calibration))
    echo("")
    print_scores(metrics.test)
    print_datasets(metrics.by_dataset)
    if caution := clustered_accuracy(predictions, metrics.test.classes, rows):
        echo(f"{caution}\n")
    if study.manifest().groups is None:
        echo("Random split: test images may have near-duplicates among the training images.")
    opened = len(metrics.test_opened)
    if opened > 1:
        echo(f"The test split was evaluated {opened} times: {', '.join(metrics.test_opened)}")
    for export, difference in metrics.exports.items():
        echo(f"{export}: loads in a new process, predictions differ by at most {difference:.1e}")
    echo(f"Results: {study.best_path}/")
    echo(f"Next: study report {study.name}, study predict IMAGES --study {study.name}")
