"""The templates in `results/templates/`."""

from functools import cache

from jinja2 import (
    Environment,
    PackageLoader,
    StrictUndefined,
    pass_eval_context,
    select_autoescape,
)
from jinja2.nodes import EvalContext

from concrete_study.datasets.printing import in_markdown


@cache
def templates(folder: str = "") -> Environment:
    """The templates of `results/templates/` or a folder in it; HTML is escaped in all.

    Every call returns the same object, so filters that a caller adds stay.
    """
    return Environment(
        loader=PackageLoader("concrete_study.results", f"templates/{folder}".rstrip("/")),
        undefined=StrictUndefined,  # a missing name is an error, not an empty string
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=select_autoescape(["html.jinja"]),
        finalize=_escaped,
    )


@pass_eval_context
def _escaped(context: EvalContext, value: object) -> object:
    """The value of an expression in a template; those of Markdown have no autoescape."""
    return in_markdown(value) if isinstance(value, str) and not context.autoescape else value
