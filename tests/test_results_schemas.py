import json
from pathlib import Path

import pytest

from concrete_study.results.records import StoredRecord
from concrete_study.results.schemas import SCHEMAS, schema

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_documented_schema_is_current(name: str) -> None:
    stored = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert stored == schema(SCHEMAS[name]), "run make schemas"


def test_every_stored_record_has_a_schema_and_no_other_file_is_there() -> None:
    assert set(SCHEMAS.values()) == set(StoredRecord.__subclasses__())
    assert {path.stem for path in FOLDER.iterdir()} == set(SCHEMAS)
    for path in FOLDER.iterdir():
        assert "schema_version" in json.dumps(json.loads(path.read_text(encoding="utf-8")))
