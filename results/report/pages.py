"""How elements become HTML and Markdown: the templates, their filters, inlined SVG."""

import json
import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import pandas as pd
from jinja2 import Environment
from markupsafe import Markup, escape

from concrete_study.results.figures import GRID, INK, QUIET, TRAIN, VALIDATION
from concrete_study.results.formats import readable, render, shown_columns
from concrete_study.results.images import data_uri
from concrete_study.results.report.elements import ParallelCoordinates, Plot, Table
from concrete_study.results.report.search_figures import axis_label, levels_of
from concrete_study.results.templating import templates

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
    """One of `PAGE` and `MARKDOWN`, of title, command, created, sections, and svg by figure."""
    return _environment().get_template(f"{page}.jinja").render(content)


def inline_svg(svg: str, plot: Plot) -> Markup:
    """A figure's SVG as a part of a page, with the page's colours and fonts."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    for colour, name in _THEME.items():
        svg = svg.replace(colour, name)
    # Two figures of one size share ids, and a hidden one would hide parts of the other.
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{plot.name}-", svg)
    svg = re.sub(r"'?DejaVu Sans'?[^;\"]*", "var(--type)", svg)
    tag, rest = svg.removeprefix("<svg").split(">", 1)
    (points,) = re.findall(r' width="([\d.]+)pt"', tag)
    tag = re.sub(r' (width|height)="[^"]*"', "", tag)
    label, width = escape(plot.caption), float(points) * 4 / 3
    head = f'<svg role="img" aria-label="{label}" style="--wide: {width:.0f}px"'
    return Markup(f"{head}{tag}>{rest}")  # noqa: S704 - Matplotlib escapes its texts


def _readable(table: Table) -> pd.DataFrame:
    return readable(table.frame.head(table.most), transposed=table.transposed)


def _numeric(table: Table) -> list[bool]:
    """Whether each column has numbers; all values of a transposed table are right-aligned, too."""
    if table.transposed:
        return [False, *[True] * len(table.frame)]
    return [table.frame[name].dtype.kind in "iuf" for name in shown_columns(table.frame)]


def _rows(table: Table) -> list[list[tuple[str, Any]]]:
    """The rows a page shows: each cell as text, and the value it is sorted by."""
    texts = values = _readable(table).to_numpy()
    if not table.transposed:
        frame = table.frame.head(table.most)
        values = frame[shown_columns(frame)].astype(object).to_numpy()
    return [
        [(text, "" if pd.isna(value) else value) for text, value in zip(*row, strict=True)]
        for row in zip(texts, values, strict=True)
    ]


def _coded(text: str) -> Markup:
    """Plain text as HTML, with text between backticks as code."""
    coded = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(coded)  # noqa: S704 - escaped in the line above


def _parallel_json(element: ParallelCoordinates) -> Markup:
    """What the page's script draws, safe within a script element."""
    frame, axes, columns = element.plot.frame, [], []
    for name in frame.columns.drop("trial"):
        values, names = frame[name].astype(object), list[str]()
        if levels := levels_of(frame[name]):
            names = list(levels.values())
            values = values.map(levels, na_action="ignore")
        axes.append({"title": axis_label(name), "log": name in element.log, "names": names})
        columns.append(values.where(values.notna(), None))
    labels = [f"trial {trial}" for trial in frame["trial"]]
    content = {"axes": axes, "lines": list(zip(*columns, strict=True)), "labels": labels}
    # A class or a file may be called </script>; JSON can escape "<".
    safe = json.dumps(content, allow_nan=False).replace("<", "\\u003c")
    return Markup(safe)  # noqa: S704 - it has no "<"


@cache
def _environment() -> Environment:
    environment = templates("report")
    environment.filters |= {
        "coded": _coded,
        "data_uri": data_uri,
        "digest": _digest,
        "headings": lambda table: list(_readable(table).columns),
        "markdown": lambda table: render(
            table.frame.head(table.most), "markdown", transposed=table.transposed
        ),
        "numeric": _numeric,
        "parallel_json": _parallel_json,
        "rows": _rows,
    }
    environment.globals["echarts"] = lambda: _script("echarts/echarts.min.js")
    environment.globals["page_script"] = lambda: _script("page.js")
    return environment


def _script(name: str) -> Markup:
    file = files("concrete_study.results") / "templates/report" / name
    return Markup(file.read_text(encoding="utf-8"))  # noqa: S704 - a file of this package


def _digest(script: str) -> str:
    """How a page's content security policy names a script that may run in it."""
    return f"sha256-{b64encode(sha256(script.encode()).digest()).decode()}"
