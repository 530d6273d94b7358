"""The page of the project layout names every module, and only modules that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = {
    "adapt",
    "audit",
    "baseline",
    "best",
    "compare",
    "config",
    "data",
    "data_check",
    "data_fetch",
    "data_sample",
}
COMMANDS |= {"doctor", "evaluate", "explain", "list", "predict", "rename"}
COMMANDS |= {"report", "rm", "search", "show"}  # one file per command, as the page says


def layout() -> dict[str, list[str]]:
    """The modules that the page names, by folder."""
    tree = (ROOT / "docs/project-layout.md").read_text(encoding="utf-8")
    named: dict[str, list[str]] = {}
    for line in tree.splitlines():
        if folder := re.match(r"    (\w+)/ ", line):
            named[folder[1]] = []
        elif line.startswith("        ") and named:
            names = re.match(r"\s*((\w+\.py ?)*)", line)
            named[list(named)[-1]] += re.findall(r"(\w+)\.py", names[1] if names else "")
    return named


@pytest.mark.parametrize("folder", ["datasets", "results", "models", "search", "study", "cli"])
def test_the_project_layout_names_every_module_once(folder: str) -> None:
    modules = {path.stem for path in (ROOT / folder).glob("*.py")} - {"__init__"}
    if folder == "cli":
        modules -= COMMANDS
    assert sorted(layout()[folder]) == sorted(modules)
