"""What `study best` and `study evaluate` store as JSON: the retrained model and its test scores.

Losses are in nats, metrics in [0, 1], times in seconds, timestamps in ISO 8601 with their offset.
"""

import msgspec

from concrete_study.datasets.folders import Fault
from concrete_study.results.hyperparameters import Value, check_types
from concrete_study.results.records import Count, Epoch, Record, StoredRecord, Views


class Scores(Record, frozen=True, kw_only=True):
    """Loss, accuracy and expected calibration error of one checkpoint."""

    loss: float
    accuracy: float
    calibration_error: float


class Calibration(Record, frozen=True, kw_only=True):
    """Temperature scaling, fitted to validation images and the same images under each shift."""

    temperature: float  # 1 changes nothing
    images: int  # validation images
    before: dict[str, Scores]  # on `validation` and `shifted validation`
    after: dict[str, Scores]


class Estimate(Record, frozen=True, kw_only=True):
    """A score with its 95 % interval by the bootstrap over groups."""

    value: float
    low: float
    high: float


class Estimates(Record, frozen=True, kw_only=True):
    """The scores of `results.metrics`; None where the classes of the images leave them undefined.

    ROC AUC and average precision are of the positive class; without one, means over one-vs-rest.
    """

    balanced_accuracy: Estimate | None
    macro_f1: Estimate | None
    roc_auc: Estimate | None
    average_precision: Estimate | None
    loss: Estimate
    calibration_error: Estimate


class Diagnosis(Record, frozen=True, kw_only=True):
    """What another threshold and calibration would bring, both fitted to the same images."""

    threshold: float  # of the highest balanced accuracy
    balanced_accuracy: float  # at this threshold
    calibrated_loss: float  # after refitting slope and offset of the logit


class ClassScores(Record, frozen=True, kw_only=True):
    """One row of scikit-learn's classification report."""

    precision: float
    recall: float
    f1: float
    support: int


class TestReport(Record, frozen=True, kw_only=True):
    """What `results.evaluation.evaluate` computes from predictions.

    Scores are those of the best checkpoint, or of the last there is.
    """

    __test__ = False  # no test case: keeps pytest from collecting it

    images: int
    classes: list[str]
    checkpoints: dict[str, Scores]
    accuracy: float
    accuracy_interval: tuple[float, float]
    interval: str  # how the interval of accuracy was computed
    groups: int  # that the other intervals resample
    majority_class: str  # the one with most images
    majority_rate: float  # the accuracy of always predicting it
    positive_class: str | None
    scores: Estimates
    diagnosis: Diagnosis | None = None  # of two classes with images of both
    by_class: dict[str, ClassScores]
    macro_avg: ClassScores
    weighted_avg: ClassScores
    confusion_matrix: list[list[int]]  # rows are true classes


class DatasetReport(Record, frozen=True, kw_only=True):
    """The scores on one dataset of a study of several."""

    dataset: str
    subset: str  # test or external
    test: TestReport


class Parameters(Record, frozen=True, kw_only=True):
    """Trainable and other parameters of one phase."""

    trainable: int
    non_trainable: int


class Precisions(Record, frozen=True, kw_only=True):
    """Number formats of training and of the evaluation."""

    training: str
    test: str


class RetrainingRecord(StoredRecord, frozen=True, kw_only=True):
    """`best/metrics.json`: the retrained best trial and its test scores."""

    study: str
    trial: str
    hyperparameters: dict[str, Value]
    epochs: Count
    views: Views
    precision: Precisions
    best_epoch: Count
    curve: list[Epoch]
    calibration: Calibration | None = None
    parameters: dict[str, Parameters]  # by phase, `phase_1` and `phase_2`
    backbone_parameters: int
    test: TestReport
    by_dataset: list[DatasetReport] = msgspec.field(default_factory=list)
    test_opened: list[str]
    commit: str | None
    versions: dict[str, str]
    devices: str = ""  # of the training; unknown in older records
    seconds: float
    exports: dict[str, float] = msgspec.field(
        default_factory=dict
    )  # by file, largest difference of a predicted probability
    files: dict[str, str] = msgspec.field(default_factory=dict)  # SHA-256 of each file next to it

    def __post_init__(self) -> None:
        check_types(self.hyperparameters)


class ScratchRecord(StoredRecord, frozen=True, kw_only=True):
    """`best/scratch.json`: the retrained recipe from random weights, without test scores."""

    trial: str
    weights: str
    epochs: int
    views: Views
    best_epoch: int
    curve: list[Epoch]
    commit: str | None
    seconds: float


class FilesRecord(StoredRecord, frozen=True, kw_only=True):
    """`best/illustrations/files.json`: what was written to its folder."""

    files: dict[str, str]  # SHA-256 of each file next to it


class EvaluationRecord(StoredRecord, frozen=True, kw_only=True):
    """`evaluations/<folder>/metrics.json`: the retrained model on an external test set."""

    study: str
    folder: str
    data: str
    fingerprint: str
    class_map: dict[str, str]  # the study's class by the folder's
    labels: str | None = None  # the absolute path of a CSV file of labels
    excluded: int  # images that the study knows, or near-duplicates of them
    faults: list[Fault]
    test: TestReport
    evaluated: str
    files: dict[str, str] = msgspec.field(default_factory=dict)  # SHA-256 of each file next to it
    commit: str | None
    versions: dict[str, str]
