"""The audit of a folder as figures, JSON, and a page with its pictures."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from concrete_study.datasets.audit import Audit
from concrete_study.results.templating import templates
from concrete_study.results.thumbnails import data_uri, spread, thumbnail

THUMBNAIL = 112  # pixels
MOST_PER_CLASS, MOST_PAIRS, MOST_CONFLICTS, MOST_OUTLIERS = 24, 60, 60, 24


class Figure(NamedTuple):
    """One picture of the page: a data URI and what is written under it."""

    source: str
    caption: str


def audit_summary(audit: Audit) -> dict[str, Any]:
    """The figures of an audit, as plain JSON types."""
    counts = audit.counts()
    copies = sum(len(group) - 1 for group in audit.near)
    return {
        "images": len(audit.images),
        "pictures": len(audit.images) - copies,
        "classes": counts,
        "imbalance": max(counts.values()) / min(counts.values()),
        "sizes": _counted(f"{image.width} x {image.height}" for image in audit.images),
        "modes": _counted(image.mode for image in audit.images),
        "faults": len(audit.faults),
        "exact_groups": len(audit.exact),
        "near_groups": len(audit.near),
        "largest_group": max((len(group) for group in audit.near), default=1),
        "conflicts": len(audit.conflicts),
        "outliers": len(audit.outliers),
    }


def audit_json(audit: Audit) -> dict[str, Any]:
    """The summary and every list behind it."""
    return {
        "summary": audit_summary(audit),
        "faults": [fault._asdict() for fault in audit.faults],
        "exact": audit.exact,
        "near": audit.near,
        "pairs": [
            dict(zip(("first", "second", "correlation"), p, strict=True)) for p in audit.pairs
        ],
        "conflicts": audit.conflicts,
        "outliers": [outlier._asdict() for outlier in audit.outliers],
        "images": [image._asdict() for image in audit.images],
    }


def audit_table(audit: Audit) -> pd.DataFrame:
    """The summary as one row per figure, to be read."""
    summary = audit_summary(audit)
    classes = ", ".join(f"{name} {count}" for name, count in summary["classes"].items())
    lines = {
        "images": f"{summary['images']} ({classes})",
        "different pictures": summary["pictures"],
        "sizes": _listed(summary["sizes"]),
        "modes": _listed(summary["modes"]),
        "largest class / smallest": f"{summary['imbalance']:.2f}",
        "unreadable files": summary["faults"],
        "groups of identical files": summary["exact_groups"],
        "groups of one picture": f"{summary['near_groups']}, the largest of "
        f"{summary['largest_group']} files",
        "pictures under two classes": summary["conflicts"],
        "outliers": summary["outliers"],
    }
    rows = [{"what": what, "found": str(found)} for what, found in lines.items()]
    return pd.DataFrame(rows)


def audit_page(audit: Audit, name: str, locate: Callable[[str], Path]) -> str:
    """One HTML file with all pictures inside.

    Args:
        audit: What was found.
        name: The folder's, for the title.
        locate: Where a file of the audit is.
    """

    def figure(file: str, caption: str = "") -> Figure:
        return Figure(data_uri(thumbnail(locate(file), THUMBNAIL)), caption or file)

    by_class = {
        label: [figure(file, Path(file).name) for file in spread(files, MOST_PER_CLASS)]
        for label in audit.counts()
        if (files := [image.file for image in audit.images if image.label == label])
    }
    pairs = [
        [figure(first), figure(second, f"{second} ({correlation:.3f})")]
        for first, second, correlation in audit.pairs[:MOST_PAIRS]
    ]
    conflicts = [[figure(file) for file in group] for group in audit.conflicts[:MOST_CONFLICTS]]
    outliers = [
        figure(o.file, f"{o.file}: {o.what} {o.value:.0f}, typical {o.typical:.0f}")
        for o in audit.outliers[:MOST_OUTLIERS]
    ]
    return (
        templates()
        .get_template("data-check.html.jinja")
        .render(
            name=name,
            made=datetime.now().astimezone().isoformat(timespec="minutes"),
            table=audit_table(audit).to_dict(orient="records"),
            faults=audit.faults,
            by_class=by_class,
            pairs=pairs,
            all_pairs=len(audit.pairs),
            conflicts=conflicts,
            all_conflicts=len(audit.conflicts),
            outliers=outliers,
            all_outliers=len(audit.outliers),
        )
    )


def _counted(values: Any) -> dict[str, int]:
    return {str(key): int(count) for key, count in pd.Series(list(values)).value_counts().items()}


def _listed(counts: Mapping[str, int], most: int = 3) -> str:
    shown = ", ".join(f"{name} ({count})" for name, count in list(counts.items())[:most])
    return f"{shown}, {len(counts) - most} more" if len(counts) > most else shown
