"""Everything that a study stores as JSON: one typed record per file, validated when read.

`results.stored` reads and writes them; `docs/schemas/` has their JSON Schemas. Losses are in nats,
metrics in [0, 1], times in seconds, timestamps in ISO 8601 with their offset.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from concrete_study.datasets.folders import Fault
from concrete_study.results.hyperparameters import Value, check_types
from concrete_study.results.options import ClassWeight as ClassWeight
from concrete_study.results.options import SearchOptions as SearchOptions

SCHEMA_VERSION = 1  # raise it when a stored record changes its meaning or its fields

Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]  # fits into every table
State = Literal["running", "finished", "interrupted", "failed"]
Views = Literal["fresh", "stored"]  # new augmented views in every epoch, or those of the search


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a stored file."""


class StoredRecord(Record, frozen=True, kw_only=True):
    """A whole stored file."""

    schema_version: int = SCHEMA_VERSION
    sha256: str = (
        ""  # of the record without it; only in the file, where an empty one is not checked
    )


class Epoch(Record, frozen=True, kw_only=True):
    """One epoch of the recipe; metrics are means over the images."""

    epoch: int  # from 1, counted through both phases
    phase: Literal[1, 2]  # 1: the head on the frozen backbone; 2: fine-tuning
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    val_macro_f1: float
    # None where undefined: if the validation images are all of one class
    val_roc_auc: float | None = None
    val_average_precision: float | None = None
    val_balanced_accuracy: float | None = None
    # Means over the validation images under each of `datasets.shifts.SHIFTS`
    val_shifted_loss: float | None = None
    val_shifted_roc_auc: float | None = None

    def metrics(self) -> dict[str, float]:
        """The metrics by name, without those that are undefined."""
        numbers = msgspec.structs.asdict(self)
        other = ("epoch", "phase")
        return {n: value for n, value in numbers.items() if n not in other and value is not None}


class TrialRecord(StoredRecord, frozen=True, kw_only=True):
    """`trials/<trial>.json`: one configuration tried at one epoch budget.

    `score` and `metrics` are those of `best_epoch`, the epoch with the best objective. A failed
    trial has a `message`, no score, and the learning curve up to where it failed.
    """

    trial: str  # Keras Tuner's identifier, e.g. "0007"
    status: Literal["completed", "failed"]
    hyperparameters: dict[str, Value]  # active ones only
    epochs: Count  # the rung: the epoch budget
    seconds: float
    score: float | None = None
    standard_error: float | None = None  # of the score, over folds or repeats
    best_epoch: Count | None = None
    metrics: dict[str, float] = {}
    curve: list[Epoch] = []
    bracket: Count | None = None  # Hyperband only
    round: Count | None = None  # Hyperband only
    parent: str | None = None  # the trial this one was promoted from
    message: str = ""

    def __post_init__(self) -> None:
        check_types(self.hyperparameters)

    @property
    def is_replaced(self) -> bool:
        """Whether Hyperband runs another trial in the place of this one, which failed."""
        return self.status == "failed" and self.round == 0


class Round(Record, frozen=True, kw_only=True):
    """Trials of one epoch budget (rung); `bracket` and `round` count as Keras Tuner does."""

    bracket: int
    round: int
    trials: int
    epochs: int


class Features(Record, frozen=True, kw_only=True):
    """The frozen features that a search stored on disk."""

    feature_layers: tuple[str, ...]
    views: int
    bytes: int
    reason: str  # why features are not stored; empty if all are
    augmentation: str  # version of the augmented views


class Session(Record, frozen=True, kw_only=True):
    """One process that worked on a search."""

    started: str
    commit: str | None
    versions: dict[str, str]
    workers: int = 0  # worker processes that were started; 0: the trials ran in this process
    nodes: tuple[str, ...] = ()  # host names of the machines they ran on


class Seeds(Record, frozen=True, kw_only=True):
    """The study's seed, and Keras Tuner's that follows from it."""

    study: int
    oracle: int


class StudyRecord(StoredRecord, frozen=True, kw_only=True):
    """`study.json`: options, data, environment and state of a study."""

    name: str
    created: str
    finished: str | None
    seconds: float
    state: State
    stopped: Literal["time budget"] | None
    options: SearchOptions
    schedule: list[Round]
    planned_trials: int
    finished_trials: int | None = None  # of a finished search, which may end before all planned
    data: dict[str, str]  # folders by dataset name; the only one has the name ""
    classes: list[str]
    positive_class: str | None = None  # None for more than two classes, unless given
    images: dict[str, int]  # by subset
    faults: list[Fault]
    ignored: dict[str, int] = {}  # number of files by reason, that are not among the faults
    groups: int | None  # None without grouping of near-duplicates
    conflicts: list[list[str]]  # near-duplicates under several labels, excluded from all subsets
    searched: dict[str, int]  # images that the search used, by subset
    class_weight: ClassWeight = "none"  # in the training loss of trials and retraining
    precision: str
    fingerprint: str
    split_sha256: str = ""  # of split.csv; an empty one is not checked
    weights_sha256: str
    seeds: Seeds
    versions: dict[str, str]
    commit: str | None
    sessions: list[Session]
    test_opened: list[str]  # when the test split was evaluated
    devices: str
    features: Features

    @property
    def is_sample(self) -> bool:
        """Whether the images are the built-in synthetic sample."""
        return not self.options.data
