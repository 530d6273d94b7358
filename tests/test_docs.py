"""The documentation site builds without warnings, has no dead link, and leaves nothing out."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import pytest
import typer

import concrete_study
from concrete_study.cli.app import build_app

ROOT = Path(__file__).parents[1]
FIGURES = ("frozen-features.svg", "hyperband.svg", "splits.svg", "statistics.svg")


class Reader(HTMLParser):
    """The links, the loaded files, the anchors and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif "src" in values:
            self.loaded.append(values["src"])
        elif tag == "link" and values.get("rel") != "canonical":
            self.loaded.append(values["href"])

    def handle_data(self, data: str) -> None:
        self.text += data


class Site(NamedTuple):
    """A built site."""

    folder: Path
    pages: dict[Path, Reader]
    output: str  # of the build

    def page(self, name: str) -> Reader:
        return self.pages[self.folder / name]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    pages = {path: Reader() for path in folder.rglob("*.html") if path.name != "404.html"}
    for path, reader in pages.items():
        reader.feed(path.read_text(encoding="utf-8"))
    return Site(folder, pages, ended.stdout + ended.stderr)


def dead_links(site: Site) -> Iterator[str]:
    """Every link and loaded file of the site that does not exist."""
    for path, reader in site.pages.items():
        for link in reader.links + reader.loaded:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = site.pages[target].anchors if target in site.pages else set()
            if not target.is_file() or not {unquote(parts.fragment)} <= anchors | {""}:
                yield f"{path.name}: {link}"


def test_the_site_builds_without_warnings(site: Site) -> None:
    assert not re.search("WARNING|ERROR", site.output), site.output


def test_every_link_anchor_and_image_exists(site: Site) -> None:
    assert list(dead_links(site)) == []


def test_no_page_loads_a_file_of_another_host(site: Site) -> None:
    loaded = {file for reader in site.pages.values() for file in reader.loaded}
    assert [file for file in loaded if urlsplit(file).netloc] == []
    styles = "".join(path.read_text("utf-8") for path in site.folder.rglob("*.css"))
    assert not re.search(r"url\([\"']?(https?:)?//", styles)


def commands(command: object, typed: str) -> Iterator[tuple[str, list[str]]]:
    """Every command as it is typed, with its options."""
    shown = [one for one in getattr(command, "params", []) if not getattr(one, "hidden", False)]
    options = [name for one in shown for name in (*one.opts, *one.secondary_opts)]
    yield typed, [option for option in options if option.startswith("-")]
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, f"{typed} {name}")


def test_the_reference_has_every_command_with_every_option(site: Site) -> None:
    text = site.page("reference/cli.html").text
    known = dict(commands(typer.main.get_command(build_app()), "study"))
    assert len(known) > 15
    sections = dict(re.findall(r"^(study[\w ]*)¶$(.*?)(?=^study[\w ]*¶$|\Z)", text, re.M | re.S))
    for typed, options in known.items():
        if typed != "study":
            assert typed in sections
        described = sections.get(typed, text)
        assert [one for one in options if not re.search(rf"{one}\b", described)] == [], typed


def test_the_reference_has_every_public_name_of_the_api(site: Site) -> None:
    described = {anchor.rpartition(".")[2] for anchor in site.page("reference/python.html").anchors}
    assert set(concrete_study.__all__) - {"__version__"} - described == set()


def test_the_index_links_every_decision(site: Site) -> None:
    linked = set(site.page("decisions/index.html").links)
    decisions = {path.stem for path in (ROOT / "docs/decisions").glob("[0-9]*.md")}
    assert len(decisions) > 20
    assert {name for name in decisions if f"{name}.html" not in linked} == set()


def test_the_readme_is_short_and_links_files_and_pages_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).exists()] == []
    pages = (ROOT / "docs/how-to").glob("*.md")
    assert {page for page in pages if str(page.relative_to(ROOT)) not in text} == set()


def test_no_page_names_a_folder_that_a_stranger_does_not_have() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks/README.md"]
    assert [page.name for page in pages if "shared/" in page.read_text(encoding="utf-8")] == []


def test_the_figures_are_those_that_the_code_draws(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", "import figures, pathlib; figures.write_figures(pathlib.Path('.'))"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'docs'}"},
        check=True,
    )
    for name in FIGURES:
        drawn, stored = (folder / name for folder in (tmp_path, ROOT / "docs/images"))
        assert drawn.read_text("utf-8") == stored.read_text("utf-8"), f"{name}: make figures"
