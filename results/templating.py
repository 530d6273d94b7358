"""The templates in `results/templates/`."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


@cache
def templates(folder: str = "") -> Environment:
    """The templates of `results/templates/` or a folder in it; HTML is escaped automatically.

    Every call returns the same object, so filters that a caller adds stay.
    """
    return Environment(
        loader=PackageLoader("concrete_study.results", f"templates/{folder}".rstrip("/")),
        undefined=StrictUndefined,  # a missing name is an error, not an empty string
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=select_autoescape(["html.jinja"]),
    )
