"""The result of a data check as a record, a table, and a page with images."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from concrete_study.datasets.audit import Audit, Outlier
from concrete_study.datasets.folders import Fault
from concrete_study.datasets.measures import Measured
from concrete_study.datasets.summary import imbalance
from concrete_study.datasets.tree import Ignored
from concrete_study.results.images import data_uri, spread, thumbnail
from concrete_study.results.records import Record, StoredRecord
from concrete_study.results.templating import templates

THUMBNAIL = 112  # pixels
MOST_PER_CLASS, MOST_PAIRS, MOST_CONFLICTS, MOST_OUTLIERS = 24, 60, 60, 24


class NearDuplicates(Record, frozen=True, kw_only=True):
    """Two near-duplicate files, and the correlation of their thumbnails."""

    first: str
    second: str
    correlation: float


class DataCheckSummary(Record, frozen=True, kw_only=True):
    """Counts of a checked folder."""

    images: int
    unique_images: int
    classes: dict[str, int]  # images by class
    imbalance: float  # largest class / smallest class
    sizes: dict[str, int]  # images by "width x height"
    modes: dict[str, int]
    faults: int
    left_out: int  # files that look like images and are not read
    ignored: int  # other files
    exact_groups: int
    near_groups: int
    largest_group: int
    conflicts: int
    outliers: int


class DataCheckRecord(StoredRecord, frozen=True, kw_only=True):
    """`check.json`: what `study data check` finds in a folder; groups are lists of files."""

    summary: DataCheckSummary
    notes: list[str]  # on a layout that is more than class folders
    warnings: list[str]  # imbalance, tiny sets
    faults: list[Fault]
    ignored: list[Ignored]
    exact: list[list[str]]  # byte-identical files
    near: list[list[str]]  # near-duplicates, byte-identical files among them
    pairs: list[NearDuplicates]
    conflicts: list[list[str]]  # near-duplicates under several labels
    outliers: list[Outlier]
    images: list[Measured]


class Thumbnail(NamedTuple):
    """One image of the page: a data URI and its caption."""

    source: str
    caption: str


def data_check(audit: Audit) -> DataCheckRecord:
    """The record of an audit, as `check.json` stores it."""
    counts = audit.counts()
    duplicates = sum(len(group) - 1 for group in audit.near)
    return DataCheckRecord(
        summary=DataCheckSummary(
            images=len(audit.images),
            unique_images=len(audit.images) - duplicates,
            classes=counts,
            imbalance=max(counts.values()) / min(counts.values()),
            sizes=_counted([f"{image.width} x {image.height}" for image in audit.images]),
            modes=_counted([image.mode for image in audit.images]),
            faults=len(audit.faults),
            left_out=sum(i.count for i in audit.ignored if i.is_image),
            ignored=sum(i.count for i in audit.ignored if not i.is_image),
            exact_groups=len(audit.exact),
            near_groups=len(audit.near),
            largest_group=max((len(group) for group in audit.near), default=1),
            conflicts=len(audit.conflicts),
            outliers=len(audit.outliers),
        ),
        notes=audit.notes,
        warnings=imbalance(counts),
        faults=audit.faults,
        ignored=audit.ignored,
        exact=audit.exact,
        near=audit.near,
        pairs=[NearDuplicates(first=a, second=b, correlation=c) for a, b, c in audit.pairs],
        conflicts=audit.conflicts,
        outliers=audit.outliers,
        images=audit.images,
    )


def data_check_table(check: DataCheckRecord) -> pd.DataFrame:
    """The summary of a data check. Columns: property, value."""
    summary = check.summary
    classes = ", ".join(f"{name} {count}" for name, count in summary.classes.items())
    rows = {
        "images": f"{summary.images} ({classes})",
        "unique images": summary.unique_images,
        "sizes": _most_frequent(summary.sizes),
        "color modes": _most_frequent(summary.modes),
        "largest class / smallest class": f"{summary.imbalance:.2f}",
        "unreadable files": summary.faults,
        "excluded image files": _by_reason([i for i in check.ignored if i.is_image]),
        "ignored files": _by_reason([i for i in check.ignored if not i.is_image]),
        "groups of exact duplicates": summary.exact_groups,
        "groups of near-duplicates": summary.near_groups,
        "images in the largest group": summary.largest_group,
        "groups with different labels": summary.conflicts,
        "outliers": summary.outliers,
    }
    return pd.DataFrame({"property": list(rows), "value": [str(value) for value in rows.values()]})


def data_check_page(check: DataCheckRecord, name: str, locate: Callable[[str], Path]) -> str:
    """One HTML file with all images inlined.

    Args:
        check: The result.
        name: The folder's, for the title.
        locate: Returns the path of a file of the record.
    """

    def image(file: str, caption: str = "") -> Thumbnail:
        return Thumbnail(data_uri(thumbnail(locate(file), THUMBNAIL)), caption or file)

    files = {
        label: [i.file for i in check.images if i.label == label] for label in check.summary.classes
    }
    return (
        templates()
        .get_template("data-check.html.jinja")
        .render(
            name=name,
            created=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
            check=check,
            table=data_check_table(check).to_dict(orient="records"),
            by_class={
                label: [image(file, Path(file).name) for file in spread(own, MOST_PER_CLASS)]
                for label, own in files.items()
                if own
            },
            pairs=[
                [image(p.first), image(p.second, f"{p.second} ({p.correlation:.3f})")]
                for p in check.pairs[:MOST_PAIRS]
            ],
            conflicts=[[image(f) for f in group] for group in check.conflicts[:MOST_CONFLICTS]],
            outliers=[
                image(o.file, f"{o.file}: {o.measure} {o.value:.0f}, median {o.median:.0f}")
                for o in check.outliers[:MOST_OUTLIERS]
            ],
        )
    )


def _by_reason(ignored: Sequence[Ignored]) -> str:
    return "; ".join(f"{i.count} {i.reason}, e.g. {i.example}" for i in ignored) or "0"


def _counted(values: Sequence[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _most_frequent(counts: Mapping[str, int], most: int = 3) -> str:
    shown = ", ".join(f"{name} ({count})" for name, count in list(counts.items())[:most])
    return f"{shown}, {len(counts) - most} more" if len(counts) > most else shown
