"""The start-up check that `search`, `models`, `results` and `datasets` are this project's own."""

from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("search", "models", "results", "datasets")


class ShadowedPackageError(Exception):
    """Another package of the same name comes first on Python's path.

    It is no `StudyError`: that one lives in `datasets`, which may be what is shadowed.
    """


def check_packages(root: Path | None = None) -> None:
    """Checks, without importing them, that the four packages stand beside `study/`.

    Args:
        root: The folder that should hold them; by default the one `study/` is in.

    Raises:
        ShadowedPackageError: If one is missing or found elsewhere, e.g. because another
            installed distribution brings a package called `datasets`.
    """
    folder = (root or Path(__file__).parents[1]).resolve()
    for name in PACKAGES:
        expected = folder / name / "__init__.py"
        found = _place(find_spec(name))
        if found != expected:
            raise ShadowedPackageError(
                f"Python finds another package called {name!r}.\n"
                f"Expected {expected}; found {found or 'none'}.\n"
                "Try: install concrete-study in a virtual environment of its own "
                "(make search does), and run it from another folder."
            )


def _place(spec: ModuleSpec | None) -> Path | None:
    if spec is None:
        return None
    if spec.origin is not None:
        return Path(spec.origin).resolve()
    # A bare folder without __init__.py has no origin, only places.
    return next((Path(place).resolve() for place in spec.submodule_search_locations or ()), None)
