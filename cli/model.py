"""The retrained model for `study predict` and `study explain`."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from concrete_study.results.folder import StudyFolder


def open_model(name: str | None) -> "tuple[StudyFolder, list[str]]":
    """Finds a study with a retrained model, and its classes; imports TensorFlow.

    Args:
        name: Name of the study; None for the latest retrained one.

    Raises:
        StudyStateError: If there is no retrained model.
    """
    from concrete_study.cli.quiet import import_tensorflow
    from concrete_study.results.runs import RUNS, latest_study, list_studies, open_study

    if name is None:
        # Only retraining writes the predictions; an export rewrites metrics.json.
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
