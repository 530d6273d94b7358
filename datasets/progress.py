"""Progress of what takes time. The base class is silent; the command line's display draws it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext


class Progress:
    """Receives messages and counts; does nothing with them unless a subclass does."""

    def log(self, message: str) -> None:
        """Reports one message."""

    def counting(
        self, description: str, total: int, unit: str = "images"
    ) -> AbstractContextManager[Callable[[int], None]]:
        """Reports work on `total` units (0: unknown) while the block runs.

        Returns:
            A context manager; its value is called with the number of units just done.
        """
        return nullcontext(lambda done: None)


SILENT = Progress()
LONGEST_LIST = 10  # messages of one kind; a count stands for the others


def log_first(progress: Progress, description: str, lines: list[str]) -> None:
    """Logs the first few lines, and how many more there are."""
    for line in lines[:LONGEST_LIST]:
        progress.log(f"{description}: {line}")
    if len(lines) > LONGEST_LIST:
        progress.log(f"{description}: {len(lines) - LONGEST_LIST} more")
