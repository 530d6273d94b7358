"""A figure's SVG as a part of a page: its colours, type and names become the page's."""

import re

from markupsafe import Markup, escape

from concrete_study.results.figures import GRID, INK, QUIET, TRAIN, VALIDATION
from concrete_study.results.report.elements import Drawing

# A figure's colours and the names that the page's style gives them, light and dark.
_THEME = {
    "#ffffff": "var(--ground)",
    "#000000": "var(--ink)",
    INK: "var(--ink)",
    QUIET: "var(--faint)",
    GRID: "var(--grid)",
    TRAIN: "var(--cool)",
    VALIDATION: "var(--warm)",
}


def inline(svg: str, drawing: Drawing) -> Markup:
    """An SVG as a part of a page: its colours the page's, its names its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for colour, name in _THEME.items():
        svg = svg.replace(colour, name)
    # Two figures of one size share names, and a hidden one would take the other's along.
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{drawing.name}-", svg)
    svg = re.sub(r"'?DejaVu Sans'?[^;\"]*", "var(--type)", svg)
    width = re.search(r'<svg [^>]*?width="([\d.]+)pt"', svg, flags=re.DOTALL)
    wide = float(width.group(1)) * 4 / 3 if width else 0.0
    label = escape(drawing.caption)
    head = f'<svg role="img" aria-label="{label}" style="--wide: {wide:.0f}px"'
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", svg, count=1, flags=re.DOTALL)
    return Markup(svg.replace("<svg", head, 1))
