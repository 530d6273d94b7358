"""Text on the terminal: names of files, folders and classes cannot send it commands."""

import sys

from concrete_study.datasets.printing import for_terminal


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Prints text for people, with control characters escaped."""
    print(for_terminal(text), end="\n" if nl else "", file=sys.stderr if err else sys.stdout)


def write_data(text: str) -> None:
    """Writes text for programs: as it is to a file or a pipe, escaped to a terminal."""
    sys.stdout.write(for_terminal(text) if sys.stdout.isatty() else text)
