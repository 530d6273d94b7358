"""The audit of a study's images: its record, and a page with images."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from concrete_study.datasets.decoding import UnreadableImageError
from concrete_study.results.audit import THUMBNAIL, Thumbnail
from concrete_study.results.images import data_uri, thumbnail
from concrete_study.results.label_issues import LabelIssue
from concrete_study.results.records import Record, StoredRecord
from concrete_study.results.shortcuts import Shortcut, describe_shortcuts
from concrete_study.results.templating import templates

PredictionSource: TypeAlias = Literal["search", "logistic regression"]
MOST_ISSUES, MOST_CONFLICTS = 60, 60


class OutOfFold(Record, frozen=True, kw_only=True):
    """Where the out-of-fold predictions come from."""

    source: PredictionSource
    folds: int
    accuracy: float  # agreement with the given labels


class AuditRecord(StoredRecord, frozen=True, kw_only=True):
    """`audit/audit.json`: what `study audit` finds in the training and validation images."""

    study: str
    created: str
    commit: str | None
    images: int
    classes: dict[str, int]  # images by class
    predictions: OutOfFold
    conflicts: list[list[str]]  # near-duplicates under several labels; lists of files
    issues: list[LabelIssue]
    shortcuts: list[Shortcut]


class ShownIssue(NamedTuple):
    """One label issue of the page."""

    issue: LabelIssue
    image: Thumbnail
    neighbours: list[Thumbnail]


def describe_issues(audit: AuditRecord) -> str:
    """The number of labels that are probably wrong."""
    count, images = len(audit.issues), audit.images
    return f"{count} of {images} labels ({count / images:.1%}) are probably wrong."


def audit_page(audit: AuditRecord, locate: Callable[[str], Path]) -> str:
    """One HTML file with all images inlined.

    Args:
        audit: The result.
        locate: Returns the path of a file of the record.
    """

    def image(file: str, caption: str) -> Thumbnail:
        try:
            return Thumbnail(data_uri(thumbnail(locate(file), THUMBNAIL)), caption)
        except UnreadableImageError as error:  # excluded images are not checked before
            return Thumbnail("", f"{caption}: {error}")

    return (
        templates()
        .get_template("audit.html.jinja")
        .render(
            audit=audit,
            issues_sentence=describe_issues(audit),
            shortcuts_sentence=describe_shortcuts(audit.shortcuts),
            conflicts=[
                [image(file, file) for file in group] for group in audit.conflicts[:MOST_CONFLICTS]
            ],
            issues=[
                ShownIssue(
                    issue,
                    image(issue.file, issue.file),
                    [image(n.file, f"{n.label} {n.similarity:.2f}") for n in issue.neighbours],
                )
                for issue in audit.issues[:MOST_ISSUES]
            ],
        )
    )
