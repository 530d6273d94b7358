"""The retrained model that `study predict` and `study explain` ask."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from concrete_study.results.folder import StudyFolder


def open_model(name: str | None) -> "tuple[StudyFolder, list[str]]":
    """A study with a retrained model, and its classes; loads TensorFlow.

    Args:
        name: The study's; None takes the latest that has been retrained.

    Raises:
        StudyStateError: If there is none.
    """
    from concrete_study.cli.quiet import import_tensorflow
    from concrete_study.results.runs import RUNS, latest_study, list_studies, open_study

    if name is None:
        # Predictions are written by retraining alone; exports write metrics.json anew.
        retrained = [study for study in list_studies(RUNS) if study.predictions_path.exists()]
        study = max(retrained, key=lambda s: s.predictions_path.stat().st_mtime, default=None)
        study = study or latest_study(RUNS)
    else:
        study = open_study(RUNS, name)
    metrics = study.required_metrics()
    typer.echo(f"Model: study {study.name}, trial {metrics.trial}.", err=True)
    import_tensorflow()

    from concrete_study.models.devices import prepare_devices

    prepare_devices()
    return study, metrics.test.classes
