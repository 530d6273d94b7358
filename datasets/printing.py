"""Names that others chose, such as those of files and classes, in terminals and spreadsheets."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable
from typing import Literal

# C0 and C1, of which terminals take commands; line and paragraph separators; marks that change
# the direction of writing, so that a name is read as another one.
_MARKS = "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
_CONTROL = re.compile(f"[\x00-\x1f\x7f-\x9f{_MARKS}]")
_CONTROL_IN_LINES = re.compile(f"[\x00-\x09\x0b-\x1f\x7f-\x9f{_MARKS}]")
# What spreadsheets take for a formula (OWASP, "CSV Injection"), also after our own apostrophe.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_TAG = re.compile("<(?=[A-Za-z/!?])")  # also of a comment or an automatic link
_LINK = re.compile(r"\]\(")
_LATEX = str.maketrans(
    {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "→": r"$\rightarrow$"}
    | {"±": r"$\pm$", "\u00d7": r"$\times$", "\u00a0": "~"}
)
_LATEX_START = re.compile(r"^([\[*])")
_NOT_ASCII = re.compile("[^\x00-\x7f]")
_ACCENTS = "\u0300\u0301\u0302\u0303\u0308\u030a\u030c\u0327"  # which every LaTeX font has
_LETTERS = {"ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "ø": r"\o{}", "Ø": r"\O{}"}


def printable(text: str) -> str:
    r"""Valid UTF-8: other bytes of a file name are escaped as `\udc80` ... `\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode()


def one_line(text: str) -> str:
    r"""Printable text in which control characters are escaped, as `\n`: no cell breaks a table."""
    return _CONTROL.sub(_escaped, printable(text))


def for_terminal(text: str) -> str:
    """Printable text of several lines, in which all other control characters are escaped."""
    return _CONTROL_IN_LINES.sub(_escaped, printable(text))


def in_json(text: str) -> str:
    r"""The text of a JSON value with further characters as `\u0085`, which JSON reads back."""
    escaped = _CONTROL_IN_LINES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return printable(escaped)


def in_markdown(text: str) -> str:
    """Text of Markdown in which a name starts no HTML, link or image; escaped again it is equal."""
    return _LINK.sub(r"]\(", _TAG.sub("&lt;", printable(text)))


def in_latex(line: str) -> str:
    r"""A line of a LaTeX table that pdfLaTeX compiles; its syntax is escaped already.

    In LaTeX's default encoding `<`, `>` and `|` print as other characters, and most letters
    without a Latin base are errors. At the start of a row, `[` is an argument of the command
    before it, and `*` a part of its name.
    """
    return _LATEX_START.sub(r"{}\1", _NOT_ASCII.sub(_accented, line.translate(_LATEX)))


def _accented(found: re.Match[str]) -> str:
    """A letter with an accent as it is, and any other character by its number."""
    parts = unicodedata.normalize("NFD", found[0])
    if parts[0].isascii() and all(mark in _ACCENTS for mark in parts[1:]):
        return found[0]
    return _LETTERS.get(found[0]) or f"U+{ord(found[0]):04X}"


def csv_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula: `'=A1` for `=A1`; `from_csv_cell` undoes it."""
    return f"'{text}" if _FORMULA.match(text) else text


def from_csv_cell(text: str) -> str:
    """The text that `csv_cell` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def csv_row(cells: Iterable[object]) -> str:
    """A line of a CSV file; texts are written as by `csv_cell`."""
    safe = [csv_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    line = io.StringIO()
    csv.writer(line, lineterminator="\n", quoting=csv_quoting(safe)).writerow(safe)
    return line.getvalue()


def csv_quoting(cells: Iterable[object]) -> Literal[0, 2]:
    """How a writer quotes a row or table: Python 3.11 does not quote a bare carriage return."""
    has_return = any(isinstance(cell, str) and "\r" in cell for cell in cells)
    return csv.QUOTE_NONNUMERIC if has_return else csv.QUOTE_MINIMAL


def _escaped(found: re.Match[str]) -> str:
    return repr(found[0])[1:-1]
