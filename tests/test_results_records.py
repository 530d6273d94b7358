import json
import math

from concrete_study.results.records import Epoch, TrialRecord

EPOCH = Epoch(
    epoch=1, phase=1, loss=0.4, accuracy=0.8, val_loss=0.3, val_accuracy=0.9, val_macro_f1=0.89
)


def test_a_record_comes_back_as_it_was_written() -> None:
    record = TrialRecord(
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
    assert TrialRecord.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_a_diverged_trial_becomes_valid_json_and_its_curve_nan_again() -> None:
    diverged = Epoch(**{**vars(EPOCH), "loss": math.nan, "val_loss": math.inf})
    record = TrialRecord(
        trial="0001", status="failed", hyperparameters={}, epochs=2, seconds=1, score=math.nan,
        metrics={"val_loss": math.nan}, curve=[EPOCH, diverged],
    )  # fmt: skip
    back = TrialRecord.from_json(json.loads(json.dumps(record.to_json(), allow_nan=False)))
    assert back.score is None
    assert back.curve[0] == EPOCH
    assert math.isnan(back.curve[1].loss)
    assert math.isnan(back.curve[1].val_loss)
    assert math.isnan(back.metrics["val_loss"])
