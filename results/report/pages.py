"""How elements become HTML and Markdown: the templates, their filters, inlined SVG."""

import json
import re
from functools import cache
from typing import Any

import pandas as pd
from jinja2 import Environment
from markupsafe import Markup, escape

from concrete_study.results.figures import GRID, INK, QUIET, TRAIN, VALIDATION
from concrete_study.results.formats import readable, render
from concrete_study.results.report.elements import ParallelCoordinates, Plot, Table
from concrete_study.results.templating import templates
from concrete_study.results.thumbnails import data_uri

PAGE, MARKDOWN = "report.html", "report.md"
# The colours of figures and the names that the page's style gives them, light and dark.
_THEME = {
    "#ffffff": "var(--ground)",
    "#000000": "var(--ink)",
    INK: "var(--ink)",
    QUIET: "var(--faint)",
    GRID: "var(--grid)",
    TRAIN: "var(--cool)",
    VALIDATION: "var(--warm)",
}


def render_page(page: str, content: dict[str, Any]) -> str:
    """One of `PAGE` and `MARKDOWN`.

    Args:
        page: Which one.
        content: title, command, created, sections, and svg: inlined figures by name.
    """
    return _environment().get_template(f"{page}.jinja").render(content)


def inline_svg(svg: str, plot: Plot) -> Markup:
    """A figure's SVG as a part of a page, with the page's colours and fonts."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for colour, name in _THEME.items():
        svg = svg.replace(colour, name)
    # Two figures of one size share ids, and a hidden one would hide parts of the other.
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{plot.name}-", svg)
    svg = re.sub(r"'?DejaVu Sans'?[^;\"]*", "var(--type)", svg)
    found = re.search(r'<svg [^>]*?width="([\d.]+)pt"', svg, flags=re.DOTALL)
    width = float(found.group(1)) * 4 / 3 if found else 0.0
    for size in ("width", "height"):
        svg = re.sub(rf'(<svg [^>]*?) {size}="[^"]*"', r"\1", svg, count=1, flags=re.DOTALL)
    label = escape(plot.caption)
    head = f'<svg role="img" aria-label="{label}" style="--wide: {width:.0f}px"'
    return Markup(svg.replace("<svg", head, 1))


def _rows(table: Table) -> list[list[tuple[str, Any]]]:
    """The rows a page shows: each cell as text, and the value it is sorted by."""
    frame = table.frame.head(table.most)
    texts, values = readable(frame).to_numpy(), frame.astype(object).to_numpy()
    return [
        [(text, "" if pd.isna(value) else value) for text, value in zip(*row, strict=True)]
        for row in zip(texts, values, strict=True)
    ]


def _coded(text: str) -> Markup:
    """Plain text as HTML, with text between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _parallel_json(element: ParallelCoordinates) -> Markup:
    """What the page's script draws, safe within a script element."""
    axes = [{"title": a.title, "log": a.log, "names": a.names} for a in element.axes]
    content = {"axes": axes, "lines": element.lines, "labels": element.labels}
    # A class or a file may be called </script>; JSON can escape "<".
    return Markup(json.dumps(content, allow_nan=False).replace("<", "\\u003c"))


@cache
def _environment() -> Environment:
    environment = templates("report")
    environment.filters |= {
        "coded": _coded,
        "data_uri": data_uri,
        "headings": lambda table: list(readable(table.frame.head(0)).columns),
        "markdown": lambda table: render(table.frame.head(table.most), "markdown"),
        "numeric": lambda table: [dtype.kind in "iuf" for dtype in table.frame.dtypes],
        "parallel_json": _parallel_json,
        "rows": _rows,
    }
    environment.globals["echarts"] = lambda: _verbatim(environment, "echarts/echarts.min.js")
    return environment


def _verbatim(environment: Environment, file: str) -> Markup:
    """A file of the templates' folder as it is: not a template."""
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, file)[0])
