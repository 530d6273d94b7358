"""The style that all figures share, and how one is saved."""

import warnings
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from concrete_study.datasets.files import replacing

TRAIN, VALIDATION, QUIET, INK, GRID = "#4878a8", "#d1603d", "#b9c0c7", "#333a42", "#e6e9ec"
_CYCLE = (VALIDATION, TRAIN, "#4f9a6b", "#8f6bb3", "#b58a2c", "#7a858f")
DPI, LARGEST_SIDE = 150, 4000  # of a PNG, the latter in pixels
PANEL = (4.4, 3.2)  # inches; a phone shows one, a page two side by side


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    # A Figure of its own, not pyplot's: no global state, no window, nothing left open.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_panel(title: str, size: tuple[float, float] = PANEL) -> tuple[Figure, Axes]:
    """A figure with one pair of axes; the size is in inches."""
    figure = new_figure(*size)
    axes = figure.add_subplot()
    plain_axes(axes, title)
    return figure, axes


def plain_axes(axes: Axes, title: str, *, pad: float = 6) -> None:
    """Removes the frame, adds a light grid and a title."""
    axes.set_title(title, loc="left", pad=pad, fontsize=11, color=INK)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def colour(number: int) -> str:
    """The colour of one of several curves."""
    return _CYCLE[number % len(_CYCLE)]


def log_losses(axes: Axes) -> None:
    """Puts losses on a logarithmic axis with plain numbers, of few decades at 1, 2 and 5."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure atomically, in the format of the path's suffix (PNG, SVG or PDF)."""
    with replacing(path) as temporary:
        write_figure(figure, temporary, format=path.suffix.lstrip("."))


def write_figure(figure: Figure, path: Path, *, format: str) -> None:
    """Writes a figure; a PNG has at most 4,000 pixels on each side.

    A character that the font does not have is drawn as a box.
    """
    dpi = min(DPI, LARGEST_SIDE / max(figure.get_size_inches()))
    # An SVG without its date: the same table gives the same file.
    metadata = {"Date": None} if format == "svg" else None
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=r"Glyph \d+ .* missing from", category=UserWarning
        )
        figure.savefig(path, format=format, dpi=dpi, metadata=metadata)
