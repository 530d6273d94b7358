"""A report as a folder: one HTML page, the same in Markdown, figures, tables, photographs."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from jinja2 import Environment
from markupsafe import Markup, escape

from concrete_study.datasets.files import replacing_folder
from concrete_study.results.folder import StudyFolder
from concrete_study.results.formats import readable, render
from concrete_study.results.report.comparison import comparison_sections
from concrete_study.results.report.data import Facts, read_facts
from concrete_study.results.report.elements import (
    Drawing,
    Drawings,
    Parallel,
    Pictures,
    Section,
    Table,
)
from concrete_study.results.report.images import open_album
from concrete_study.results.report.inlining import inline
from concrete_study.results.report.record_sections import (
    closing_sections,
    sample_sections,
    space_toml,
    split_sections,
)
from concrete_study.results.report.result_sections import model_sections, result_sections
from concrete_study.results.report.search_sections import search_sections
from concrete_study.results.report.summary import answer
from concrete_study.results.stored import ensure_writable
from concrete_study.results.templating import templates
from concrete_study.results.thumbnails import data_uri

PAGE = "report.html"
_WRITTEN = (PAGE, "report.md", "figures", "tables", "pictures")
SVG_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # words stay words: found by a search, set in the page's own type
    "svg.hashsalt": "report",  # the same numbers give the same file
}


def write_report(study: StudyFolder) -> Path:
    """Makes a study's report anew, `report/` in its folder, whole or not at all.

    Returns:
        The page.

    Raises:
        StudyStateError: If a file of the study is damaged; the message names it.
    """
    facts = read_facts(study)
    files = {}
    if facts.manifest["options"].get("space"):
        files["space.toml"] = space_toml(facts.manifest)
    write_pages(
        study.path / "report",
        report_sections(facts),
        title=f"Study {facts.name}",
        command="study report",
        files=files,
    )
    return study.path / "report" / PAGE


def write_comparison(studies: Sequence[StudyFolder], folder: Path) -> Path:
    """Makes a page of several studies anew, with its figures and tables beside it.

    Returns:
        The page.

    Raises:
        UsageError: If the folder holds something else than such a page, which would be lost.
        StudyStateError: If a file of a study is damaged; the message names it.
    """
    ensure_writable(folder, _WRITTEN)
    write_pages(
        folder,
        comparison_sections(studies),
        title=" and ".join(study.name for study in studies),
        command="study compare --report",
        files={},
    )
    return folder / PAGE


def write_pages(
    folder: Path,
    sections: Sequence[Section],
    *,
    title: str,
    command: str,
    files: Mapping[str, str],
) -> None:
    """Writes sections as HTML and Markdown with all that belongs to them, whole or not at all.

    Args:
        folder: Replaced.
        sections: In their order.
        title: Of the page.
        command: What made it.
        files: Further text files by name.
    """
    with replacing_folder(folder) as new:
        drawn = {
            drawing.name: _write_drawing(drawing, new / "figures")
            for drawing in _drawings(sections)
        }
        for block in (block for section in sections for block in section.blocks):
            if isinstance(block, Table):
                _write(new / "tables" / f"{block.name}.csv", render(block.frame, "csv"))
            elif isinstance(block, Pictures):
                for picture in block.pictures:
                    _write(new / "pictures" / f"{picture.name}.jpg", picture.jpeg)
        for name, text in files.items():
            _write(new / name, text)
        content = {
            "title": title,
            "command": command,
            "made": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
            "sections": sections,
            "drawn": drawn,
        }
        for page in (PAGE, "report.md"):
            template = _environment().get_template(f"{page}.jinja")
            _write(new / page, template.render(content))


def report_sections(facts: Facts) -> list[Section]:
    """The sections in their order; those that a study has nothing for are left out."""
    album = open_album(facts.manifest, facts.rows, facts.illustrations)
    return [
        answer(facts),
        *search_sections(facts),
        *result_sections(facts, album),
        *sample_sections(facts, album),
        *model_sections(facts),
        *split_sections(facts),
        *closing_sections(facts),
    ]


def _drawings(sections: Sequence[Section]) -> Iterator[Drawing]:
    for block in (block for section in sections for block in section.blocks):
        if isinstance(block, Drawings):
            yield from block.drawings
        elif isinstance(block, Parallel):
            yield block.drawing


def _write_drawing(drawing: Drawing, folder: Path) -> Markup:
    """Writes a figure as PNG and SVG beside its numbers; gives the SVG to be put into a page."""
    _write(folder / f"{drawing.name}.csv", render(drawing.frame, "csv"))
    figure = drawing.draw(drawing.frame)
    path = folder / f"{drawing.name}.svg"
    # The SVG first: saving moves the layout a little, and a recomputed SVG has to be this one.
    with mpl.rc_context(SVG_STYLE):
        figure.savefig(path, metadata={"Date": None})
    figure.savefig(folder / f"{drawing.name}.png", dpi=150)
    return inline(path.read_text(encoding="utf-8"), drawing)


def _write(path: Path, content: str | bytes) -> None:
    # Not one by one atomically: the folder takes its place as a whole.
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _rows(table: Table) -> list[list[tuple[str, Any]]]:
    """The rows a page shows: each cell as text, and what it is sorted by."""
    frame = table.frame.head(table.most)
    shown = readable(frame)
    return [
        [(text, "" if pd.isna(raw) else raw) for text, raw in zip(texts, raws, strict=True)]
        for texts, raws in zip(
            shown.to_numpy().tolist(), frame.astype(object).to_numpy().tolist(), strict=True
        )
    ]


def _coded(text: str) -> Markup:
    """Plain words as HTML, with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _parallel_json(block: Parallel) -> Markup:
    """What the page's script draws, safe within a script element."""
    content = {
        "axes": [{"title": a.title, "log": a.log, "names": a.names} for a in block.axes],
        "lines": block.lines,
        "labels": block.labels,
    }
    # A class or a file may be called </script>; JSON has its own way to say "<".
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
    environment.globals["echarts"] = _echarts
    return environment


def _echarts() -> Markup:
    """ECharts' own code, as it is: not a template."""
    package = resources.files("results") / "templates" / "report" / "echarts" / "echarts.min.js"
    return Markup(package.read_text(encoding="utf-8"))
