"""Hostile names in what is written: pages, spreadsheets, terminals, LaTeX."""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hostile import HOSTILE_NAMES, names, slow
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from PIL import Image
from pylatexenc.latexwalker import (
    LatexCharsNode,
    LatexEnvironmentNode,
    LatexGroupNode,
    LatexMacroNode,
    LatexMathNode,
    LatexNode,
    LatexSpecialsNode,
    LatexWalker,
)
from rich.console import Console
from small_records import CHECK
from small_report import Tags

from concrete_study.cli.app import run
from concrete_study.datasets.folders import Fault
from concrete_study.datasets.printing import (
    csv_cell,
    for_terminal,
    from_csv_cell,
    in_json,
    in_markdown,
    one_line,
    printable,
)
from concrete_study.results.audit import data_check_page
from concrete_study.results.evaluation import prediction_rows, read_predictions
from concrete_study.results.formats import csv_text, render
from concrete_study.study.display import Display

COMMANDS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")
RAW_HTML = re.compile("<[A-Za-z/!?]")
COMMANDS_OF_LATEX = {
    *("\\", "toprule", "midrule", "bottomrule", "rightarrow", "pm", "times", "ss", "ae", "AE"),
    *("o", "O", "textless", "textgreater", "textbar", "textbackslash", "textasciitilde"),
    *("textasciicircum", *"&%$#_{}"),
}
NODES = (LatexCharsNode, LatexGroupNode, LatexMacroNode, LatexMathNode, LatexSpecialsNode)
texts = st.one_of(names, st.text())


@given(texts)
def test_no_name_sends_commands_to_a_terminal(name: str) -> None:
    assert not COMMANDS.search(for_terminal(name))
    assert not COMMANDS.search(one_line(name))
    assert "\n" not in one_line(name)
    text = in_json(json.dumps([name], ensure_ascii=False, indent=2))
    assert not COMMANDS.search(text)
    assert json.loads(text) == [printable(name)] or json.loads(text) == [name]


@given(texts)
def test_no_name_starts_a_formula_and_each_is_read_again(name: str) -> None:
    assert not csv_cell(name).startswith(FORMULAS)
    assert from_csv_cell(csv_cell(name)) == name


def require_latex(text: str, *, columns: int, rows: int) -> None:
    """Parses a table strictly; every command in it is one that LaTeX and booktabs have."""
    (table, *end), _, _ = LatexWalker(text, tolerant_parsing=False).get_latex_nodes()
    assert isinstance(table, LatexEnvironmentNode)
    assert not "".join(node.latex_verbatim() for node in end).strip()
    cells, commands = [0], []
    for node in walk(table.nodelist):
        assert isinstance(node, NODES)
        if isinstance(node, LatexMacroNode):
            commands.append(node.macroname)
            if node.macroname == "\\":
                cells.append(0)
        elif isinstance(node, LatexSpecialsNode):
            cells[-1] += node.specials_chars == "&"
    assert set(commands) <= COMMANDS_OF_LATEX
    assert cells == [columns - 1] * (rows + 1) + [0]
    for line in text.splitlines():
        assert not line.startswith(("[", "*"))
        assert all(c.isascii() or unicodedata.category(c)[0] == "L" for c in line)


def walk(nodes: Iterable[LatexNode]) -> Iterator[LatexNode]:
    for node in nodes:
        yield node
        yield from walk(getattr(node, "nodelist", ()) or ())


@pytest.mark.parametrize("start", ["[2pt]", "*", "[", "<0.1", "a|b", "ä ß ø", "Трещина", "1 ± 2"])
def test_a_name_at_the_start_of_a_row_is_no_argument_of_latex(start: str) -> None:
    text = render(pd.DataFrame({start: [start], "score": [0.5]}), "latex")
    require_latex(text, columns=2, rows=1)


def test_markdown_has_no_tag_and_no_link_of_a_name() -> None:
    for name in (*HOSTILE_NAMES, "![x](https://example.org/x.png)", "<!-- x", "</b>", "a < b <0.1"):
        once = in_markdown(name)
        assert not RAW_HTML.search(once)
        assert "](" not in once
        assert in_markdown(once) == once
    assert in_markdown("a < b, p <0.0001 & c") == "a < b, p <0.0001 & c"


@slow(0.2)  # a table is made of each
@given(
    st.lists(
        st.tuples(names, st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=4
    )
)
def test_a_table_of_any_names_is_safe_in_every_format(rows: list[tuple[str, float]]) -> None:
    frame = pd.DataFrame(rows, columns=["study", "score"])
    cells = list(csv.reader(io.StringIO(render(frame, "csv"), newline="")))
    assert not [row[0] for row in cells if row and row[0].startswith(FORMULAS)]
    assert [float(row[1]) for row in cells[1:]] == [score for _, score in rows]
    assert not COMMANDS.search(render(frame, "json"))
    for style in ("markdown", "latex"):
        assert not COMMANDS.search(render(frame, style))
    require_latex(render(frame, "latex"), columns=2, rows=len(rows))
    assert not RAW_HTML.search(render(frame, "markdown"))
    for line in render(frame, "latex").splitlines()[4:-2]:
        known = r"\\text\w+ ?\{?\}?|\{\}|\$\\(times|pm|rightarrow)\$|\\(ss|ae|AE|o|O)\{\}"
        assert not re.search(r"(?<!\\)[%$#_{}]", re.sub(known, "", line))


def test_predictions_of_formulas_are_read_as_they_were(tmp_path: Path) -> None:
    classes = ["=A", "+B"]
    table = prediction_rows(
        ["=1/a.jpg", "-2/b.jpg"], classes, classes, {"best": np.eye(2)}, ["'=g", "@h"]
    )
    path = tmp_path / "predictions.csv"
    path.write_text(csv_text(table))
    assert not [line for line in path.read_text().splitlines() if line.startswith(FORMULAS)]
    read = read_predictions(path)
    assert read["file"].tolist() == ["=1/a.jpg", "-2/b.jpg"]
    assert read["class"].tolist() == classes
    assert read["group"].tolist() == ["'=g", "@h"]


def test_a_data_check_of_hostile_names_has_no_tag_of_theirs(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(image := tmp_path / "a.png")
    pages = [
        Tags(data_check_page(replace(CHECK, faults=[Fault(name, name)]), name, lambda _: image))
        for name in ("plain", *HOSTILE_NAMES)
    ]
    for page in pages:
        assert [tag for tag, _ in page.found] == [tag for tag, _ in pages[0].found]
        assert page.policy.startswith("default-src 'none'")
        assert "script-src" not in page.policy


def test_an_error_and_a_message_have_no_control_codes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "\x1b[2Jred\x9b31m\u202e[/b]"
    assert run(["data", "check", name]) == 3
    with Display() as display:
        display.log(name)
        with display.counting(f"unpacking {name}", 1) as done:
            done(1)
    printed = capsys.readouterr()
    assert r"\x1b[2Jred\x9b31m\u202e[/b]" in printed.err
    assert not COMMANDS.search(printed.err + printed.out)


def test_a_bar_shows_a_name_with_square_brackets_as_it_is() -> None:
    display = Display()
    display.console = Console(file=(text := io.StringIO()), force_terminal=True, width=120)
    with display._bar("unpacking [/b].zip", 1, "files") as done:
        done(1)
    assert "[/b].zip" in text.getvalue()
