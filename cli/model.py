"""The retrained model for `study predict` and `study explain`."""

from typing import TYPE_CHECKING

from concrete_study.cli.output import echo

if TYPE_CHECKING:
    from concrete_study.study.model import Model


def open_model(name: str | None) -> "Model":
    """Finds a retrained or adapted model, and prints which one.

    Args:
        name: NAME or NAME:SITE; None for the one that was retrained last.

    Raises:
        StudyStateError: If there is no retrained model.
    """
    from concrete_study.study import public

    model = public.open_model(name)
    trial = model.folder.study.required_metrics().trial
    echo(f"Model: study {model.name}, trial {trial}.", err=True)
    return model
