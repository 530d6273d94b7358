"""Hyperparameter search for image classification by transfer learning from VGG16.

The public Python API. Names are imported on first use: `import concrete_study` imports none of
TensorFlow, Keras Tuner, pandas and Matplotlib. The sub-packages are links to the top-level
folders of the project.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concrete_study.results.folder import StudyFolder
    from concrete_study.results.records import SearchOptions

__all__ = ["SearchOptions", "__version__", "list_studies", "open_study"]


def open_study(name: str | None = None, *, runs: str | Path = "runs") -> "StudyFolder":
    """Opens a stored study.

    Args:
        name: Name of the study; None for the latest one.
        runs: Folder of all studies.

    Raises:
        UsageError: If `name` is not a valid name.
        StudyStateError: If the study does not exist or its study.json is damaged.
    """
    from concrete_study.results import runs as stored

    return stored.open_study(Path(runs), name)


def list_studies(*, runs: str | Path = "runs") -> "list[StudyFolder]":
    """Every study in a folder, damaged ones too, oldest first.

    Args:
        runs: Folder of all studies.
    """
    from concrete_study.results import runs as stored

    return stored.list_studies(Path(runs))


def __getattr__(name: str) -> Any:
    if name == "SearchOptions":
        from concrete_study.results.records import SearchOptions

        return SearchOptions
    if name == "__version__":
        from importlib.metadata import version

        return version("concrete-study")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
