"""Stored records: what is written is read again; errors name file, key, expected and received."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from small_records import (
    CHECK,
    EPOCH,
    SCRATCH,
    TRIAL,
    evaluation_record,
    retraining_record,
    study_record,
)

from concrete_study.datasets.errors import StudyStateError
from concrete_study.datasets.folders import Fault
from concrete_study.results.hyperparameters import Dimension, default_space
from concrete_study.results.records import SearchOptions, StoredRecord, TrialRecord
from concrete_study.results.stored import read_record, write_record

SPACE = default_space() | {"dropout": Dimension(choices=(0.0, 0.5))}


@pytest.mark.parametrize(
    "record",
    [
        TRIAL,
        study_record("ß", options=SearchOptions(space=SPACE), faults=[Fault("a/1.jpg", "empty")]),
        retraining_record("first", curve=[EPOCH], exports={"model.onnx": 1e-7}),
        evaluation_record("first", class_map={"Cracked": "Positive"}),
        SCRATCH,
        CHECK,
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_record_is_read_as_it_was_written(record: StoredRecord, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_record(path, record)
    assert read_record(path, type(record)) == record
    assert json.loads(path.read_text(encoding="utf-8"))["schema_version"] == 1


def test_whole_numbers_and_every_bit_of_a_float_are_kept(tmp_path: Path) -> None:
    values = {"head_units": 256, "dropout": 0.1 + 0.2, "unfreeze_depth": 0, "other": 5.0}
    path = tmp_path / "record.json"
    write_record(path, TrialRecord(**{**_fields(TRIAL), "hyperparameters": values}))
    found = read_record(path, TrialRecord).hyperparameters
    assert found == values
    assert [type(value) for value in found.values()] == [int, float, int, float]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_json_does_not_have_is_never_written(value: float, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    for change in ({"metrics": {"val_loss": value}}, {"seconds": value}):
        with pytest.raises(ValueError, match="Expected `float`, got `null`"):
            write_record(path, TrialRecord(**_fields(TRIAL) | change))
    assert not path.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": "2"}, "Expected `int` at epochs; received `str`."),
        ({"curve": [{"epoch": 1}]}, "object missing required field `phase` at curve[0]"),
        ({"status": "done"}, "invalid enum value 'done' at status"),
        ({"colour": 1}, "object contains unknown field `colour`"),
        ({"schema_version": 2}, "Expected schema_version 1; received schema_version 2."),
        ({"schema_version": None}, "Expected `int` at schema_version; received `null`."),
    ],
)
def test_an_error_names_file_key_expected_and_received(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "0007.json"
    write_record(path, TRIAL)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StudyStateError, match=r"0007\.json is damaged") as caught:
        read_record(path, TrialRecord)
    assert message in caught.value.expected


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b"\xff", None])
def test_a_file_that_is_no_record_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "0007.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StudyStateError, match=r"0007\.json is damaged") as caught:
        read_record(path, TrialRecord)
    assert caught.value.expected.startswith("Expected ")


def _fields(record: TrialRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}
