"""What `study adapt` stores as JSON: how a model was adapted to a site, and what it is worth."""

import msgspec

from concrete_study.datasets.folders import Fault
from concrete_study.results.evaluation_records import TestReport
from concrete_study.results.records import Record, StoredRecord


class SiteImages(Record, frozen=True, kw_only=True):
    """The images of a site that a model was fitted to."""

    data: str
    fingerprint: str  # of their content; of unlabelled images, of their names
    class_map: dict[str, str] = msgspec.field(default_factory=dict)
    labels: str | None = None  # the absolute path of a CSV file of labels
    images: int
    groups: int
    by_class: dict[str, int] = msgspec.field(default_factory=dict)  # empty without labels
    excluded: int = 0  # images that the study knows, or near-duplicates of them
    faults: list[Fault] = msgspec.field(default_factory=list)


class AdaptationRecord(StoredRecord, frozen=True, kw_only=True):
    """`adapted/<site>/metrics.json`; losses in nats."""

    study: str
    site: str
    trial: str
    test_opened: list[str]  # as in best/metrics.json: tells which retrained model was adapted
    fitted_to: SiteImages
    method: str
    losses: dict[str, float]  # of each method, by cross-validation; empty without labels
    class_shares: dict[str, float]  # estimated; empty with labels
    site_test: TestReport | None  # by cross-validation; None without labels
    test: TestReport  # the study's own test split
    adapted: str
    commit: str | None
    versions: dict[str, str]
    seconds: float
    exports: dict[str, float] = msgspec.field(
        default_factory=dict
    )  # by file, largest difference of a predicted probability
    files: dict[str, str] = msgspec.field(default_factory=dict)  # SHA-256 of each file next to it
