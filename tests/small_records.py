"""Made-up stored records: every field has a value, a test changes those it is about."""

from typing import Any

from concrete_study.datasets.audit import Outlier
from concrete_study.datasets.folders import Fault
from concrete_study.datasets.measures import Measured
from concrete_study.datasets.tree import Ignored
from concrete_study.results.audit import DataCheckRecord, DataCheckSummary, NearDuplicates
from concrete_study.results.evaluation_records import (
    ClassScores,
    Estimate,
    Estimates,
    EvaluationRecord,
    Precisions,
    RetrainingRecord,
    Scores,
    ScratchRecord,
    TestReport,
)
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import (
    Epoch,
    Features,
    SearchOptions,
    Seeds,
    StudyRecord,
    TrialRecord,
)

CLASSES = ("Negative", "Positive")
CREATED = "2026-11-23T10:00:00+00:00"


def measured(file: str, label: str = "A", **changes: Any) -> Measured:
    """The measures of a JPEG file of 9 x 9 pixels."""
    given: dict[str, Any] = {
        "width": 9,
        "height": 9,
        "mode": "L",
        "brightness": 100.0,
        "sharpness": 50.0,
        "contrast": 20.0,
        "saturation": 0.1,
        "bytes": 700,
        "jpeg_quality": 90,
    }
    return Measured(file=file, label=label, **given | changes)


def study_record(name: str, **changes: Any) -> StudyRecord:
    """A finished study of 30 planned trials."""
    given: dict[str, Any] = {
        "created": CREATED,
        "finished": "2026-11-23T10:02:05+00:00",
        "seconds": 125.0,
        "state": "finished",
        "stopped": None,
        "options": SearchOptions(data=("d",)),
        "schedule": [],
        "planned_trials": 30,
        "data": {"": "d"},
        "classes": list(CLASSES),
        "images": {"train": 20, "validation": 10, "test": 10},
        "faults": [],
        "groups": 40,
        "conflicts": [],
        "searched": {},
        "precision": "float32",
        "fingerprint": "f" * 64,
        "weights_sha256": "0" * 64,
        "seeds": Seeds(study=1, oracle=1001),
        "versions": {"python": "3.11"},
        "commit": None,
        "sessions": [],
        "test_opened": [],
        "devices": "CPU",
        "features": Features(
            feature_layers=("block5_average",), views=5, bytes=1000, reason="", augmentation="1"
        ),
    }
    return StudyRecord(name=name, **given | changes)


def write_study(study: StudyFolder, **changes: Any) -> StudyFolder:
    """Writes study.json alone."""
    study.write_manifest(study_record(study.name, **changes))
    return study


def made_up_report(**changes: Any) -> TestReport:
    """The scores on 150 test images."""
    scores = ClassScores(precision=0.98, recall=0.98, f1=0.98, support=75)
    given: dict[str, Any] = {
        "images": 150,
        "classes": list(CLASSES),
        "checkpoints": {"best": Scores(loss=0.0721, accuracy=0.98, calibration_error=0.01)},
        "accuracy": 0.98,
        "accuracy_interval": (0.9428, 0.9932),
        "interval": "Wilson 95 %",
        "groups": 150,
        "majority_class": "Negative",
        "majority_rate": 0.5,
        "positive_class": "Positive",
        "scores": Estimates(
            balanced_accuracy=Estimate(value=0.98, low=0.9533, high=1.0),
            macro_f1=Estimate(value=0.9799, low=0.9532, high=1.0),
            roc_auc=Estimate(value=0.9971, low=0.9912, high=1.0),
            average_precision=Estimate(value=0.9968, low=0.9901, high=1.0),
            loss=Estimate(value=0.0721, low=0.0433, high=0.1122),
            calibration_error=Estimate(value=0.0211, low=0.0134, high=0.0477),
        ),
        "by_class": dict.fromkeys(CLASSES, scores),
        "macro_avg": scores,
        "weighted_avg": scores,
        "confusion_matrix": [[74, 1], [2, 73]],
    }
    return TestReport(**given | changes)


def retraining_record(study: str, **changes: Any) -> RetrainingRecord:
    """A best trial retrained for 10 epochs."""
    given: dict[str, Any] = {
        "trial": "0002",
        "hyperparameters": {"head_units": 64, "dropout": 0.25, "image_size": 96},
        "epochs": 10,
        "views": "fresh",
        "precision": Precisions(training="float32", test="float32"),
        "best_epoch": 8,
        "curve": [],
        "parameters": {},
        "backbone_parameters": 14_714_688,
        "test": made_up_report(),
        "test_opened": ["2026-11-23T11:00:00+00:00"],
        "commit": None,
        "versions": {},
        "seconds": 60.0,
    }
    return RetrainingRecord(study=study, **given | changes)


def evaluation_record(study: str, **changes: Any) -> EvaluationRecord:
    """An evaluation on an external test set."""
    given: dict[str, Any] = {
        "folder": "bridges-ffffffff",
        "data": "/photographs/bridges",
        "fingerprint": "f" * 64,
        "class_map": {},
        "excluded": 0,
        "faults": [],
        "test": made_up_report(),
        "evaluated": "2026-11-24T10:00:00+00:00",
        "commit": None,
        "versions": {},
    }
    return EvaluationRecord(study=study, **given | changes)


EPOCH = Epoch(
    epoch=1, phase=1, loss=0.4, accuracy=0.8, val_loss=0.3, val_accuracy=0.9, val_macro_f1=0.89
)
TRIAL = TrialRecord(
    trial="0007",
    status="completed",
    hyperparameters={"head_units": 256, "dropout": 0.3},
    epochs=2,
    seconds=1.5,
    score=0.3,
    best_epoch=1,
    metrics={"val_loss": 0.3},
    curve=[EPOCH],
    parent="0001",
)
SCRATCH = ScratchRecord(
    trial="0007",
    weights="none",
    epochs=1,
    views="stored",
    best_epoch=1,
    curve=[EPOCH],
    commit=None,
    seconds=1.0,
)
CHECK = DataCheckRecord(
    summary=DataCheckSummary(
        images=2,
        unique_images=1,
        classes={"a": 1, "b": 1},
        imbalance=1.0,
        sizes={"8 x 8": 2},
        modes={"RGB": 2},
        faults=1,
        left_out=2,
        ignored=0,
        exact_groups=0,
        near_groups=1,
        largest_group=2,
        conflicts=1,
        outliers=1,
    ),
    notes=["Class folders are in archive/."],
    warnings=[],
    faults=[Fault("a/3.jpg", "truncated")],
    ignored=[Ignored(".heic needs the extra heic", 2, "a/4.heic", True)],
    exact=[],
    near=[["a/1.jpg", "b/2.jpg"]],
    pairs=[NearDuplicates(first="a/1.jpg", second="b/2.jpg", correlation=0.99)],
    conflicts=[["a/1.jpg", "b/2.jpg"]],
    outliers=[Outlier(file="a/1.jpg", measure="brightness", value=9, median=90, score=-4)],
    images=[measured("a/1.jpg", "a", jpeg_quality=None)],
)
