"""Which progress a call of the Python API shows, and to whom else it is reported."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

from rich.console import Console

from concrete_study.search.progress import Callback, CallbackProgress, SearchProgress
from concrete_study.study.display import Display

ProgressOption: TypeAlias = bool | SearchProgress | None
"""True shows progress on stderr, None only on a terminal or in a notebook, False never."""


@contextmanager
def reporting(
    progress: ProgressOption, callbacks: Sequence[Callback] = ()
) -> Iterator[SearchProgress]:
    """The receiver of all progress while the block runs."""
    with ExitStack() as stack:
        if progress is None:
            console = Console(stderr=True)
            progress = console.is_terminal or console.is_jupyter
        if progress is True:
            progress = stack.enter_context(Display())
        receiver = progress or SearchProgress()
        yield CallbackProgress([receiver, *callbacks]) if callbacks else receiver
