"""Hostile stored records and study folders: read, or refused with the name of the file."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hostile import csv_like, damaged, names, parses_or_refuses, slow, written
from hypothesis import example, given
from hypothesis import strategies as st
from small_records import (
    CHECK,
    CREATED,
    EPOCH,
    SCRATCH,
    TRIAL,
    evaluation_record,
    made_up_report,
    retraining_record,
    study_record,
)

from concrete_study.datasets.errors import StudyStateError
from concrete_study.results.adaptation_record import AdaptationRecord, SiteImages
from concrete_study.results.evaluation import read_predictions
from concrete_study.results.evaluation_records import FilesRecord
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import StoredRecord, TrialRecord
from concrete_study.results.runs import is_damaged, list_studies, open_study
from concrete_study.results.schemas import SCHEMAS
from concrete_study.results.stored import read_record, record_text
from concrete_study.results.study_audit import AuditRecord, OutOfFold
from concrete_study.results.trials import trials_table

RECORDS: list[StoredRecord] = [
    study_record("first"),
    TRIAL,
    retraining_record("first", curve=[EPOCH], test=made_up_report()),
    evaluation_record("first"),
    CHECK,
    SCRATCH,
    FilesRecord(files={"base.txt": "0" * 64}),
    AdaptationRecord(
        study="first",
        site="bridge",
        trial="0007",
        test_opened=[],
        fitted_to=SiteImages(data="d", fingerprint="f", images=9, groups=9, by_class={"a": 9}),
        method="scaling",
        losses={"none": 0.5},
        class_shares={},
        site_test=made_up_report(),
        test=made_up_report(),
        adapted=CREATED,
        commit=None,
        versions={"python": "3.11"},
        seconds=1.0,
    ),
    AuditRecord(
        study="first",
        created=CREATED,
        commit=None,
        images=2,
        classes={"a": 1, "b": 1},
        predictions=OutOfFold(source="search", folds=5, accuracy=0.9),
        conflicts=[["a/1.jpg", "b/2.jpg"]],
        issues=[],
        shortcuts=[],
    ),
]
TEXTS = [record_text(record) for record in RECORDS]
NESTED = b'{"schema_version": 1, "x": ' + b"[" * 100_000

json_values = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), names),
        st.sampled_from([10**30, -1, 1e308, "0001-01-01T00:00:00", "9999-12-31", ""]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@st.composite
def mutated(draw: st.DrawFn, texts: list[str]) -> bytes:
    """A valid record in which one value, at any depth, is another one or missing."""
    # Without its checksum, which would refuse every other value before anything reads it.
    content = json.loads(draw(st.sampled_from(texts))) | {"sha256": ""}
    where: Any = content
    while True:
        keys = list(where) if isinstance(where, dict) else range(len(where))
        key = draw(st.sampled_from(keys))
        if not (isinstance(where[key], dict | list) and where[key] and draw(st.booleans())):
            break
        where = where[key]
    if draw(st.integers(0, 4)):
        where[key] = draw(json_values)
    else:
        del where[key]
    return json.dumps(content).encode("utf-8", "surrogatepass")


contents = st.one_of(
    st.binary(),
    json_values.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")),
    damaged([text.encode() for text in TEXTS]),
    mutated(TEXTS),
)


@given(contents)
@example(NESTED)
@example(b'{"schema_version": 1, "x": ' + b'{"a":' * 100_000)
@example(b'{"schema_version": 1' + b"0" * 5_000 + b"}")
def test_any_stored_record_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path / "record.json", content)
    for kind in SCHEMAS.values():
        with parses_or_refuses():
            try:
                assert isinstance(read_record(path, kind), kind)
            except StudyStateError as error:
                assert "record.json is damaged" in error.problem
                raise


def test_the_records_that_are_damaged_here_are_of_every_stored_kind() -> None:
    assert {type(record) for record in RECORDS} == set(SCHEMAS.values())


@slow(0.4)  # a whole folder is read in each
@given(mutated([TEXTS[0]]), mutated([TEXTS[1]]), mutated([TEXTS[2]]), mutated([TEXTS[3]]))
def test_a_study_folder_of_any_records_is_read_or_refused(
    tmp_path: Path, manifest: bytes, trial: bytes, metrics: bytes, evaluation: bytes
) -> None:
    study = StudyFolder(tmp_path / "first")
    for folder in (study.trials_path, study.best_path, study.evaluations_path / "x"):
        folder.mkdir(parents=True, exist_ok=True)
    written(study.manifest_path, manifest)
    written(study.trials_path / "0007.json", trial)
    written(study.metrics_path, metrics)
    written(study.evaluations_path / "x" / "metrics.json", evaluation)
    with parses_or_refuses():
        assert [found.name for found in list_studies(tmp_path)] == ["first"]
    with parses_or_refuses():
        assert not is_damaged(study) or open_study(tmp_path, "first")
    for read in (study.state, study.metrics, study.evaluations):
        with parses_or_refuses():
            read()
    with parses_or_refuses():
        trials_table(study.trials())


@given(csv_like("file", "class", "checkpoint", "p_A", "p_B"))
@example(b"file,class,checkpoint,p_A,p_B\na,A,best,1,0,9\n")
@example(b"file,class,p_A,p_B\na,A,1,0\n")
@example(b"p_A,p_A,p_A.1\n1,2,3\n")
def test_any_predictions_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    with parses_or_refuses():
        read_predictions(written(tmp_path / "predictions.csv", content))


@pytest.mark.parametrize("epochs", [-1, 2**31, 2**63, -(2**63) - 1, 10**30])
def test_a_count_that_no_table_holds_is_refused(epochs: int, tmp_path: Path) -> None:
    text = re.sub(rb'"epochs": \d+', b'"epochs": %d' % epochs, TEXTS[1].encode())
    study = StudyFolder(tmp_path / "first")
    study.trials_path.mkdir(parents=True)
    path = written(study.trials_path / "0007.json", text)
    with pytest.raises(StudyStateError, match=r"0007\.json is damaged") as caught:
        study.trials()
    assert "epochs" in caught.value.expected
    assert str(path) in caught.value.problem


@pytest.mark.parametrize("value", ['"../x"', "0.5", "1e300", "-9223372036854775809"])
def test_a_hyperparameter_of_another_type_is_refused(value: str, tmp_path: Path) -> None:
    text = re.sub(r'"head_units": \d+', f'"head_units": {value}', TEXTS[1])
    path = written(tmp_path / "0007.json", text.encode())
    with pytest.raises(StudyStateError, match=r"0007\.json is damaged") as caught:
        read_record(path, TrialRecord)
    assert "head_units cannot be" in caught.value.expected
