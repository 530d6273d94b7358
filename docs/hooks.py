"""Pages of the documentation site that are generated from the code when it is built."""

import re
from collections.abc import Callable
from pathlib import Path

import griffe
import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter
from typer.cli import get_docs_for_click

from concrete_study.cli.app import build_app
from concrete_study.results.hyperparameters import HYPERPARAMETERS
from concrete_study.results.records import SearchOptions
from concrete_study.results.schemas import SCHEMAS
from concrete_study.search.schedule import hyperband_schedule

ROOT = Path(__file__).parents[1]
# Files of the project that are pages of the site, too, with the name of the page.
PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmark-programs.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages whose files are in other folders; their links into docs/ stay valid."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        content = re.sub(r"\]\((\.\./)*docs/", "](", text)
        files.append(File.generated(config, page, content=content))
    files.append(File.generated(config, "tutorial.md", content=tutorial()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replaces each `<!-- generated: NAME -->` by its Markdown, and links the tutorial's page."""
    markdown = markdown.replace("tutorial.ipynb)", "tutorial.md)")
    return re.sub(r"<!-- generated: (\w+) -->", lambda mark: GENERATED[mark[1]](), markdown)


def tutorial() -> str:
    """The notebook with its stored outputs; tables have the style of the site."""
    exporter = MarkdownExporter()  # type: ignore[no-untyped-call]
    text, _ = exporter.from_filename(str(ROOT / "docs/tutorial.ipynb"))
    text = re.sub(r"<style scoped>.*?</style>\n|<pre [^>]*></pre>\n", "", text, flags=re.DOTALL)
    text = text.replace('<table border="1" class="dataframe">', "<table>")
    return f'{text}\n[Download the notebook](tutorial.ipynb "Jupyter notebook")\n'


def commands() -> str:
    """Every command with its arguments and options, from the command line itself."""
    command = typer.main.get_command(build_app())
    context = typer.Context(command, info_name="study")
    text = get_docs_for_click(obj=command, ctx=context, name="study")
    # Typer cuts summaries short here; the page's table of contents has the commands.
    text = re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+\n", "", text)
    text = re.sub(r"^Example: (.*(?:\n.+)*)", r"Example: `\1`", text, flags=re.MULTILINE)
    return text.partition("\n")[2]


def decisions() -> str:
    """Every decision by number and title."""
    titles = {
        path.name: path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        for path in sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    }
    return "\n".join(f"- [{title}]({name})" for name, title in titles.items())


def hyperparameters() -> str:
    """Every hyperparameter with the values that a search tries and those that it may try."""
    rows = ["| hyperparameter | default | allowed |", "|---|---|---|"]
    for one in HYPERPARAMETERS:
        values = one.default
        default = ", ".join(map(str, values.choices)) or f"{values.low:g} to {values.high:g}"
        default += ", log" if values.log else ""
        default += f", if `{one.requires}` is above 0" if one.requires else ""
        allowed = ", ".join(one.names) or f"{one.lowest:g} to {one.highest:,}"
        rows.append(f"| `{one.name}` | {default} | {allowed} |")
    return "\n".join(rows)


def schedule() -> str:
    """The rounds of the default search."""
    rows = ["| bracket | rung (epochs) | trials |", "|---|---|---|"]
    rounds = hyperband_schedule(SearchOptions().max_epochs, factor=SearchOptions().factor)
    first = rounds[0].bracket
    for one in rounds:
        origin = "promoted" if one.round else "new configurations"
        rows.append(f"| {first - one.bracket + 1} | {one.epochs} | {one.trials} {origin} |")
    return "\n".join(rows)


def schemas() -> str:
    """Every stored record with what it is."""
    return "\n".join(
        f"- [{name}.json](../schemas/{name}.json): {(record.__doc__ or '').partition(chr(10))[0]}"
        for name, record in SCHEMAS.items()
    )


class Docstrings(griffe.Extension):
    """Renders `Example:` as code, and the comment behind an attribute as its description."""

    def on_package(self, *, pkg: griffe.Module, **_: object) -> None:
        """Changes the docstring of the package, for which there is no other event."""
        self.on_object(obj=pkg)

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Changes the docstring of one object of the API."""
        if obj.docstring:
            text = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
            obj.docstring.value = text
        elif obj.is_attribute and (comment := obj.source.partition("  # ")[2]):
            obj.docstring = griffe.Docstring(comment, parent=obj)


GENERATED: dict[str, Callable[[], str]] = {
    "commands": commands,
    "decisions": decisions,
    "hyperparameters": hyperparameters,
    "schedule": schedule,
    "schemas": schemas,
}
