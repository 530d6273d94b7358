"""Photographs of a study for its report, read only while they are still the studied ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from concrete_study.datasets.decoding import UnreadableImageError
from concrete_study.datasets.files import file_sha256
from concrete_study.datasets.folders import locate
from concrete_study.datasets.splits import SplitRow
from concrete_study.results.report.elements import Block, Paragraph, Picture, Pictures
from concrete_study.results.thumbnails import spread, thumbnail

SIZE = 160  # pixels: 5 KB each
MOST = 12  # on one sheet


@dataclass(frozen=True)
class Album:
    """The photographs of a split."""

    roots: dict[str, Path]
    rows: dict[str, SplitRow]
    grad_cam: Path | None  # overlays by the photograph's SHA-256

    def picture(self, name: str, file: str, caption: str) -> Picture | None:
        """One photograph, if its content is that of the split."""
        row = self.rows.get(file)
        if row is not None and self.grad_cam is not None:
            explained = self.grad_cam / f"{row.sha256}.jpg"
            if explained.exists():
                return Picture(name, caption, explained.read_bytes(), width=2 * SIZE)
        try:
            path = locate(self.roots, file)
            if row is not None and file_sha256(path) == row.sha256:
                return Picture(name, caption, thumbnail(path, SIZE))
        except (KeyError, OSError, UnreadableImageError):
            pass  # another machine, a folder moved away, a disk unplugged
        return None

    def sheet(
        self, name: str, caption: str, files: Sequence[str], captions: Sequence[str]
    ) -> list[Block]:
        """A sheet of those photographs that are there, and a word on those that are not."""
        found = [
            self.picture(f"{name}-{number:02d}", file, text)
            for number, (file, text) in enumerate(zip(files, captions, strict=True), start=1)
        ]
        pictures = [picture for picture in found if picture is not None]
        blocks: list[Block] = [Pictures(caption, pictures)] if pictures else []
        if lost := len(found) - len(pictures):
            text = f"{lost} of {len(found)} are not shown: moved away or changed since the search."
            blocks.append(Paragraph(text))
        return blocks


def open_album(
    manifest: dict[str, Any], rows: Sequence[SplitRow], illustrations: Path | None
) -> Album:
    """The photographs of a study, wherever `study.json` says they were.

    Test images that `study best --export` explained have their overlay beside them.
    """
    stored = manifest.get("data") or {}
    roots = {"": stored} if isinstance(stored, str) else stored
    return Album(
        {name: Path(root) for name, root in roots.items()},
        {row.file: row for row in rows},
        illustrations and illustrations / "grad_cam",
    )


def most_confident_errors(answers: pd.DataFrame) -> pd.DataFrame:
    """The wrong answers, the surest first.

    Args:
        answers: As `results.report.scores.answers` gives them.
    """
    return answers[answers["true"] != answers["predicted"]].reset_index(drop=True)


def least_confident(answers: pd.DataFrame) -> pd.DataFrame:
    """The right answers with the smallest margin, at most `MOST`, the closest first."""
    right = answers[answers["true"] == answers["predicted"]]
    return right.sort_values("margin", kind="stable", ignore_index=True).head(MOST)


def samples(rows: Sequence[SplitRow], label: str) -> list[str]:
    """Some training files of a class, evenly spread over them."""
    files = [row.file for row in rows if row.subset == "train" and row.label == label]
    return spread(files, MOST)
