"""Images of a study for its report, shown only while they are those of the split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from concrete_study.datasets.decoding import UnreadableImageError
from concrete_study.datasets.files import file_sha256
from concrete_study.datasets.folders import locate
from concrete_study.datasets.splits import SplitRow
from concrete_study.results.report.data import ReportData
from concrete_study.results.report.elements import Element, Gallery, Photograph
from concrete_study.results.thumbnails import spread, thumbnail

SIZE = 160  # pixels: 5 KB each
MOST = 12  # in one gallery


@dataclass(frozen=True)
class StudyImages:
    """The images of a split."""

    roots: dict[str, Path]
    rows: dict[str, SplitRow]
    grad_cam: Path | None  # overlays by the image's SHA-256

    def photograph(self, name: str, file: str, caption: str) -> Photograph | None:
        """One image, with its Grad-CAM overlay if there is one; None if it is not as it was."""
        row = self.rows.get(file)
        if row is not None and self.grad_cam is not None:
            overlay = self.grad_cam / f"{row.sha256}.jpg"
            if overlay.exists():
                return Photograph(name, caption, overlay.read_bytes(), width=2 * SIZE)
        try:
            path = locate(self.roots, file)
            if row is not None and file_sha256(path) == row.sha256:
                return Photograph(name, caption, thumbnail(path, SIZE))
        except (KeyError, OSError, UnreadableImageError):
            pass  # another machine, a folder moved away, a disk unplugged
        return None

    def gallery(
        self, name: str, caption: str, files: Sequence[str], captions: Sequence[str]
    ) -> list[Element]:
        """The images that are available, and how many are not."""
        found = [
            self.photograph(f"{name}-{number:02d}", file, text)
            for number, (file, text) in enumerate(zip(files, captions, strict=True), start=1)
        ]
        shown = [photograph for photograph in found if photograph is not None]
        elements: list[Element] = [Gallery(caption, shown)] if shown else []
        if lost := len(found) - len(shown):
            elements.append(
                f"{lost} of {len(found)} images are not shown: moved or changed since the search."
            )
        return elements


def open_images(data: ReportData) -> StudyImages:
    """The images of a study, in the folders that `study.json` names."""
    return StudyImages(
        {name: Path(root) for name, root in data.study.data.items()},
        {row.file: row for row in data.split},
        data.illustrations and data.illustrations / "grad_cam",
    )


def training_samples(rows: Sequence[SplitRow], label: str) -> list[str]:
    """Some training files of a class, evenly spread."""
    files = [row.file for row in rows if row.subset == "train" and row.label == label]
    return spread(files, MOST)
