"""`study best`: retrain the best trial, test it, export it."""

from typing import TYPE_CHECKING, Annotated

import typer

from concrete_study.cli.arguments import StudyArgument, typed

if TYPE_CHECKING:
    from concrete_study.cli.display import Display
    from concrete_study.results.folder import StudyFolder
    from concrete_study.results.records import RetrainingRecord


def best_command(
    context: typer.Context,
    name: StudyArgument = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Of both phases together.", show_default="the search's"),
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Train on the stored views: minutes, not hours.")
    ] = False,
    export: Annotated[
        bool, typer.Option("--export", help="Write exports, figures and model card.")
    ] = False,
    format: Annotated[
        str, typer.Option(help="Exports: keras, saved-model, litert, onnx; with commas.")
    ] = "keras,saved-model",
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write runs/NAME/tensorboard/best too.")
    ] = False,
    scratch: Annotated[
        bool, typer.Option("--scratch", help="Also train the recipe from random weights.")
    ] = False,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train and test anew, though a result is stored.")
    ] = False,
) -> None:
    """Retrain the best trial with both phases and test it, once.

    Example: study best first --export
    """
    from concrete_study.cli.display import Display
    from concrete_study.cli.quiet import import_tensorflow
    from concrete_study.datasets.errors import UsageError
    from concrete_study.results.runs import RUNS, open_study

    study = open_study(RUNS, name)
    formats = [name.strip() for name in format.split(",")]
    if not export and typed(context, "format"):
        raise UsageError("--format is of exports.", "Expected --export beside it; found none.")
    if export:
        import_tensorflow()
        from concrete_study.models.export import require_exporters

        require_exporters(formats)
    with Display() as display:
        metrics = study.metrics()
        if metrics is None or retrain:
            if metrics is not None:
                display.log("The earlier training's model, exports and figures are replaced.")
            metrics = _retrain(study, display, epochs, fast)
        elif fast or epochs is not None:
            raise UsageError(
                f"study {study.name} has a stored result.",
                f"Expected no --epochs and no --fast; it was trained {metrics.epochs} epochs "
                f"on {metrics.views} views.",
                f"study best {study.name} --retrain, with these options, or without them.",
            )
        else:
            display.log(f"Study {study.name}: the stored result; --retrain does it anew.")
            _note_better(study, metrics, display)
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
    study: "StudyFolder", display: "Display", epochs: int | None, fast: bool
) -> "RetrainingRecord":
    from concrete_study.cli.quiet import import_tensorflow

    import_tensorflow()
    from concrete_study.study.retraining import retrain

    return retrain(study, display, epochs=epochs, fast=fast)


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
    """What the recipe reached on the validation images from either start."""
    scratch = study.scratch()
    for start, record in (("pretrained", metrics), ("random", scratch)):
        if record is None:
            continue
        best = record.curve[record.best_epoch - 1]
        typer.echo(
            f"From {start} weights: val_loss {best.val_loss:.4f}, val_accuracy "
            f"{best.val_accuracy:.4f} at epoch {best.epoch}"
        )
    typer.echo("Random weights stay as they were drawn where the recipe freezes them.")


def _note_better(study: "StudyFolder", metrics: "RetrainingRecord", display: "Display") -> None:
    """A search that was resumed after its time budget may have found a better trial since."""
    from concrete_study.results.trials import best_trial

    best = best_trial(study.trials(), study.manifest().options.objective)
    if best.trial != metrics.trial:
        display.log(
            f"It is that of trial {metrics.trial}; since then the search has found trial "
            f"{best.trial} to be better."
        )


def _print_metrics(study: "StudyFolder", metrics: "RetrainingRecord") -> None:
    from concrete_study.cli.scores import print_scores, print_sources
    from concrete_study.datasets.splits import read_split
    from concrete_study.results.evaluation import clustered_accuracy, read_predictions
    from concrete_study.results.hyperparameters import describe

    typer.echo(f"Study {study.name}, trial {metrics.trial}: {describe(metrics.hyperparameters)}")
    typer.echo(f"Trained {metrics.epochs} epochs on {metrics.views} views; ", nl=False)
    typer.echo(f"kept epoch {metrics.best_epoch}.\n")
    print_scores(metrics.test)
    print_sources(metrics.by_dataset)
    predictions, rows = read_predictions(study.predictions_path), read_split(study.split_path)
    if caution := clustered_accuracy(predictions, metrics.test.classes, rows):
        typer.echo(f"{caution}\n")
    if study.manifest().groups is None:
        typer.echo("Split by file: tested pictures may have a copy that was trained on.")
    opened = len(metrics.test_opened)
    if opened > 1:
        typer.echo(f"The test split was opened {opened} times: {', '.join(metrics.test_opened)}")
    for export, difference in metrics.exports.items():
        typer.echo(f"{export}: loads in a fresh process, differs by at most {difference:.1e}")
    typer.echo(f"Everything is in {study.best_path}/")
    typer.echo(f"Next: study compare {study.name} ANOTHER")
