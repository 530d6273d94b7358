"""What a report is made of, whatever it is written as: sections of blocks in their order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Paragraph:
    """Plain words; what stands between backticks is code."""

    text: str
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Code:
    """Lines to be read or typed as they are."""

    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Table:
    """A table, in full as `tables/<name>.csv`; a page shows its first `most` rows."""

    name: str
    caption: str
    frame: pd.DataFrame
    most: int = 50
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Drawing:
    """A figure and the numbers it is made of, `figures/<name>.csv`.

    `draw` is given the numbers alone, so that the figure can be recomputed from its CSV.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    draw: Callable[[pd.DataFrame], Figure]


@dataclass(frozen=True)
class Drawings:
    """Figures side by side where there is room."""

    drawings: Sequence[Drawing]
    kind: ClassVar[str] = "drawings"


@dataclass(frozen=True)
class Axis:
    """One axis of parallel coordinates; its values are numbers, or names if it has `names`."""

    title: str
    log: bool = False
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parallel:
    """Parallel coordinates to drag over; on paper the drawing stands for them."""

    drawing: Drawing
    axes: Sequence[Axis]
    lines: Sequence[Sequence[float | str | None]]  # one a trial, in the order of the axes
    labels: Sequence[str]  # each line's trial
    kind: ClassVar[str] = "parallel"


@dataclass(frozen=True)
class Picture:
    """A photograph as JPEG, `pictures/<name>.jpg`."""

    name: str
    caption: str
    jpeg: bytes
    width: int = 160  # pixels on the page, of a height of 160


@dataclass(frozen=True)
class Pictures:
    """A sheet of photographs."""

    caption: str
    pictures: Sequence[Picture]
    kind: ClassVar[str] = "pictures"


Block: TypeAlias = Paragraph | Code | Table | Drawings | Parallel | Pictures


@dataclass(frozen=True)
class Section:
    """A heading with its blocks; `anchor` is its address within the page."""

    anchor: str
    title: str
    blocks: Sequence[Block]
