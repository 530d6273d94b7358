"""A report as a folder: one HTML page, the same in Markdown, figures, tables, images."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
from markupsafe import Markup

from concrete_study.datasets.files import replacing_folder
from concrete_study.results.figures import write_figure
from concrete_study.results.folder import StudyFolder
from concrete_study.results.formats import render
from concrete_study.results.report.adaptation_sections import adaptation_sections
from concrete_study.results.report.comparison import comparison_sections
from concrete_study.results.report.data import ReportData, read_report_data
from concrete_study.results.report.data_sections import sample_section, split_section
from concrete_study.results.report.elements import Gallery, Plot, Section, Table
from concrete_study.results.report.environment_section import environment_section
from concrete_study.results.report.evaluation_sections import evaluation_sections
from concrete_study.results.report.pages import MARKDOWN, PAGE, inline_svg, render_page
from concrete_study.results.report.retraining_sections import model_section, retraining_sections
from concrete_study.results.report.search_sections import search_sections
from concrete_study.results.report.summary import summary_section
from concrete_study.results.stored import ensure_writable
from concrete_study.results.study_toml import study_toml

_WRITTEN = (PAGE, MARKDOWN, "figures", "tables", "images")
SVG_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and has the page's font
    "svg.hashsalt": "report",  # the same table gives the same file
}


def write_report(study: StudyFolder) -> Path:
    """Replaces a study's report, `report/` in its folder, completely or not at all.

    Returns:
        The page.

    Raises:
        StudyStateError: If a file of the study is damaged; the message names it.
    """
    data, folder = read_report_data(study), study.path / "report"
    files, title = {"study.toml": study_toml(data.study.options)}, f"Study {data.name}"
    return _write_pages(folder, report_sections(data), title, "study report", files)


def write_comparison(studies: Sequence[StudyFolder], folder: Path) -> Path:
    """Replaces a page that compares several studies, with its figures and tables.

    Returns:
        The page.

    Raises:
        UsageError: If the folder holds something else than such a page, which would be lost.
        StudyStateError: If a file of a study is damaged; the message names it.
    """
    ensure_writable(folder, _WRITTEN)
    title = "Comparison of " + " and ".join(study.name for study in studies)
    return _write_pages(folder, comparison_sections(studies), title, "study compare --report", {})


def report_sections(data: ReportData) -> list[Section]:
    """The sections in their order; those for which a study has no data are left out."""
    return [
        summary_section(data),
        *search_sections(data),
        *retraining_sections(data),
        *evaluation_sections(data),
        *adaptation_sections(data),
        *sample_section(data),
        *model_section(data),
        *split_section(data),
        environment_section(data),
    ]


def _write_pages(
    folder: Path, sections: Sequence[Section], title: str, command: str, files: Mapping[str, str]
) -> Path:
    """Writes sections as HTML and Markdown, and further text files, or nothing."""
    with replacing_folder(folder) as new:
        plots = [plot for section in sections for plot in section.plots()]
        content = {
            "title": title,
            "command": command,
            "created": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
            "sections": sections,
            "svg": {plot.name: _write_plot(plot, new / "figures") for plot in plots},
        }
        for element in (element for section in sections for element in section.elements):
            if isinstance(element, Table):
                _write(new / "tables" / f"{element.name}.csv", render(element.frame, "csv"))
            elif isinstance(element, Gallery):
                for image in element.photographs:
                    _write(new / "images" / f"{image.name}.jpg", image.jpeg)
        for name, text in files.items():
            _write(new / name, text)
        for page in (PAGE, MARKDOWN):
            _write(new / page, render_page(page, content))
    return folder / PAGE


def _write_plot(plot: Plot, folder: Path) -> Markup:
    """Writes a figure as PNG and SVG with its CSV; returns the SVG for the page."""
    _write(folder / f"{plot.name}.csv", render(plot.frame, "csv"))
    figure = plot.draw(plot.frame)
    path = folder / f"{plot.name}.svg"
    with mpl.rc_context(SVG_STYLE):
        write_figure(figure, path, format="svg")
    figure.set_layout_engine("none")  # the PNG has the same layout; it takes a third of the time
    write_figure(figure, folder / f"{plot.name}.png", format="png")
    return inline_svg(path.read_text(encoding="utf-8"), plot)


def _write(path: Path, content: str | bytes) -> None:
    # Not one by one atomically: the folder is replaced as a whole.
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
