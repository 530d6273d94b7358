"""Damaged files of a study and of its cache: the same result, or refused by name."""

import shutil
import sys
from pathlib import Path

import pytest

from concrete_study.results.folder import StudyFolder

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from damage_harness import Harness
from damages import DAMAGES

pytestmark = pytest.mark.slow

ALLOWED = ("repaired", "refused")


@pytest.fixture
def folder(
    retrained: StudyFolder,
    cache: Path,
    slabs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A retrained study, its images and its cache."""
    shutil.copytree(retrained.path, tmp_path / "runs" / "x")
    shutil.copytree(cache, tmp_path / "cache")
    (tmp_path / "images").symlink_to(slabs)
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize(
    ("command", "files"),
    [
        (("show", "x"), {"study.json", "metrics.json", "0000.json"}),
        (("compare", "x", "x"), {"study.json", "metrics.json", "predictions.csv", "split.csv"}),
        (("data", "check", "images"), {"pillow", "duplicates"}),
    ],
)
def test_every_damaged_file_is_repaired_or_refused_by_name(
    command: tuple[str, ...], files: set[str], folder: Path
) -> None:
    harness = Harness(folder, {"it": command})
    opened = harness.files(1)
    assert not [name for name in files if not any(name in file for file in opened)]
    results = dict(harness.check(harness.cases(opened)))
    assert {case: result for case, result in results.items() if result not in ALLOWED} == {}
    # Without "not readable" for root, and what a file of a cache does not have: version, sibling.
    assert len({case.damage for case in results}) >= len(DAMAGES) - 3
