"""A search by cross-validation, from its options to what it stores."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from small_study import Recorder, Search, searched, small_options, without_times

from concrete_study.results.folder import StudyFolder
from concrete_study.search.runner import run_search

CHANGES = {"folds": 2, "repeats": 2}


@pytest.fixture(scope="module")
def folded(slabs: Path, tmp_path_factory: pytest.TempPathFactory) -> Search:
    """A small search by two folds and two repeats, from its start to its end."""
    return searched(slabs, tmp_path_factory.mktemp("runs") / "folded", **CHANGES)


def test_every_trial_of_a_search_by_folds_has_a_standard_error(folded: Search) -> None:
    assert folded.study.manifest().folds == 2
    assert {record.hyperparameters["unfreeze_depth"] for record in folded.records} == {0, 1}
    assert all((record.standard_error or 0) > 0 for record in folded.records)
    assert any("2-fold cross-validation on 24 images, 2 seeds each" in line for line in log(folded))


def log(search: Search) -> list[str]:
    return search.recorder.messages


def test_a_resumed_search_by_folds_equals_an_uninterrupted_one(
    folded: Search, slabs: Path, tmp_path: Path
) -> None:
    study, options = StudyFolder(tmp_path / "interrupted"), small_options(slabs, **CHANGES)
    with pytest.raises(KeyboardInterrupt):
        run_search(options, study, Recorder(interrupt_after=3))
    assert without_times(study.trials()) == folded.records[:3]
    best = run_search(options, study, Recorder(), resume=True)
    assert replace(best, seconds=0) == replace(folded.best, seconds=0)
    assert without_times(study.trials()) == folded.records
