"""Objects as HTML, which notebooks show."""

from collections.abc import Mapping
from html import escape


def html_table(title: str, values: Mapping[str, object]) -> str:
    """A table of names and values, all of them escaped; those that are None are left out."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(str(value))}</td></tr>"
        for name, value in values.items()
        if value is not None
    )
    return f"<table><caption><b>{escape(title)}</b></caption>{rows}</table>"
