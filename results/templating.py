"""The one way templates are read; they lie in `results/templates/`."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


@cache
def templates(folder: str = "") -> Environment:
    """The templates of `results/templates/` or a folder in it; HTML is escaped by itself.

    The same object at every call, so what a caller adds to it stays.
    """
    return Environment(
        loader=PackageLoader("concrete_study.results", f"templates/{folder}".rstrip("/")),
        undefined=StrictUndefined,  # a name that is missing is an error, not an empty place
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=select_autoescape(["html.jinja"]),
    )
