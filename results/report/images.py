"""Images of a study for its report, shown only while they are those of the split."""

from collections.abc import Sequence
from pathlib import Path

from concrete_study.datasets.decoding import UnreadableImageError
from concrete_study.datasets.files import file_sha256
from concrete_study.datasets.folders import locate
from concrete_study.datasets.splits import SplitRow
from concrete_study.results.images import spread, thumbnail
from concrete_study.results.report.data import ReportData
from concrete_study.results.report.elements import Element, Gallery, Photograph

SIZE = 160  # pixels: 5 KB each
MOST = 12  # in one gallery


def gallery(
    data: ReportData, name: str, caption: str, files: Sequence[str], captions: Sequence[str]
) -> list[Element]:
    """The images that are available, and how many are not."""
    found = [
        _photograph(data, f"{name}-{number:02d}", file, text)
        for number, (file, text) in enumerate(zip(files, captions, strict=True), start=1)
    ]
    shown = [photograph for photograph in found if photograph is not None]
    elements: list[Element] = [Gallery(caption, shown)] if shown else []
    if lost := len(found) - len(shown):
        text = f"{lost} of {len(found)} images are not shown: moved or changed since the search."
        elements.append(text)
    return elements


def training_samples(rows: Sequence[SplitRow], label: str) -> list[str]:
    """Some training files of a class, evenly spread."""
    files = [row.file for row in rows if row.subset == "train" and row.label == label]
    return spread(files, MOST)


def _photograph(data: ReportData, name: str, file: str, caption: str) -> Photograph | None:
    """One image, with its Grad-CAM overlay if there is one; None if it is not as it was."""
    row = data.rows.get(file)
    if row is None:
        return None
    if data.illustrations is not None:
        overlay = data.illustrations / "grad_cam" / f"{row.sha256}.jpg"
        if overlay.exists():
            return Photograph(name, caption, overlay.read_bytes(), width=2 * SIZE)
    try:
        path = locate({name: Path(root) for name, root in data.study.data.items()}, file)
        if file_sha256(path) == row.sha256:
            return Photograph(name, caption, thumbnail(path, SIZE))
    except (KeyError, OSError, UnreadableImageError):
        pass  # another machine, a folder moved away, a disk unplugged
    return None
