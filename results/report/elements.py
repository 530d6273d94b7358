"""What a report consists of, whatever it is written as: sections with elements in their order."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Code:
    """Lines to read or to type as they are."""

    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Table:
    """A table, in full as `tables/<name>.csv`; a page shows its first `most` rows.

    Few rows of many values are transposed on a page: each is a column there.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    most: int = 50
    transposed: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Plot:
    """A figure and the table it is drawn from, `figures/<name>.csv`.

    `draw` receives the table alone, so that the figure can be reproduced from its CSV.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    draw: Callable[[pd.DataFrame], Figure]


@dataclass(frozen=True)
class ParallelCoordinates:
    """Interactive parallel coordinates; on paper the static plot takes their place."""

    plot: Plot  # one row per trial: its id in `trial`, and a column per axis
    log: Collection[str]  # the columns with a logarithmic scale
    kind: ClassVar[str] = "parallel"


@dataclass(frozen=True)
class Photograph:
    """An image of the data as JPEG, `images/<name>.jpg`."""

    name: str
    caption: str
    jpeg: bytes
    width: int = 160  # pixels on the page, at a height of 160


@dataclass(frozen=True)
class Gallery:
    """Images of the data under one caption."""

    caption: str
    photographs: Sequence[Photograph]
    kind: ClassVar[str] = "gallery"


# A string is a paragraph, where text between backticks is code; plots in a list are side by side.
Element: TypeAlias = str | Code | Table | list[Plot] | ParallelCoordinates | Gallery


@dataclass(frozen=True)
class Section:
    """A heading with its elements; `anchor` is its address within the page."""

    anchor: str
    title: str
    elements: Sequence[Element]

    def plots(self) -> list[Plot]:
        """All figures of the section, static ones of parallel coordinates included."""
        several = [plot for e in self.elements if isinstance(e, list) for plot in e]
        return several + [e.plot for e in self.elements if isinstance(e, ParallelCoordinates)]
