"""Hyperparameter search for image classification by transfer learning from VGG16.

The public Python API. Names are imported on first use: `import concrete_study` imports none of
TensorFlow, Keras Tuner, pandas and Matplotlib. The sub-packages are links to the top-level
folders of the project.

Example:
    >>> import concrete_study as cs
    >>> cs.SearchOptions().max_epochs
    10
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concrete_study.datasets.errors import StudyError
    from concrete_study.results.records import Epoch, SearchOptions, TrialRecord
    from concrete_study.search.progress import SearchProgress
    from concrete_study.study.model import Model
    from concrete_study.study.public import compare, list_studies, open, open_model, search
    from concrete_study.study.study import Study

    __version__: str

__all__ = [
    "Epoch",
    "Model",
    "SearchOptions",
    "SearchProgress",
    "Study",
    "StudyError",
    "TrialRecord",
    "__version__",
    "compare",
    "list_studies",
    "open",
    "open_model",
    "search",
]
_MODULES = {
    "Epoch": "results.records",
    "Model": "study.model",
    "SearchOptions": "results.records",
    "SearchProgress": "search.progress",
    "Study": "study.study",
    "StudyError": "datasets.errors",
    "TrialRecord": "results.records",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("concrete-study")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'study.public')}"), name)


def __dir__() -> list[str]:
    return __all__


class _Search(ModuleType):
    """The package `concrete_study.search`, which is called as the function of the same name.

    Importing one of its modules sets the attribute `search` of this package to it.
    """

    def __call__(self, **options: Any) -> "Study":
        from concrete_study.study.public import search

        return search(**options)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        from concrete_study.study.public import search

        return search.__doc__

    @property
    def __signature__(self) -> Any:
        from inspect import signature

        from concrete_study.study.public import search

        return signature(search)


import_module(f"{__name__}.search").__class__ = _Search
