"""The retrained model for `study predict` and `study explain`."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from concrete_study.results.model_folder import ModelFolder


def open_model(name: str | None) -> "tuple[ModelFolder, list[str]]":
    """Finds a retrained or adapted model, and its classes; imports TensorFlow.

    Args:
        name: NAME or NAME:SITE; None for the latest retrained one.

    Raises:
        StudyStateError: If there is no retrained model.
    """
    from concrete_study.cli.quiet import import_tensorflow
    from concrete_study.results.model_folder import ModelFolder, open_model_folder
    from concrete_study.results.runs import RUNS, latest_study, list_studies

    if name is None:
        # Only retraining writes the predictions; an export rewrites metrics.json.
        retrained = [study for study in list_studies(RUNS) if study.predictions_path.exists()]
        study = max(retrained, key=lambda s: s.predictions_path.stat().st_mtime, default=None)
        model = ModelFolder(study or latest_study(RUNS))
    else:
        model = open_model_folder(RUNS, name)
    metrics = model.study.required_metrics()
    typer.echo(f"Model: study {model.name}, trial {metrics.trial}.", err=True)
    import_tensorflow()

    from concrete_study.models.devices import prepare_devices

    prepare_devices()
    return model, metrics.test.classes
