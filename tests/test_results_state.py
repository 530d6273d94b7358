from pathlib import Path

import pytest
from concrete_study.results.state import require_free

from concrete_study.datasets.errors import StudyStateError
from concrete_study.results.folder import StudyFolder


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    return StudyFolder(tmp_path / "first")


def test_a_study_that_exists_is_begun_anew_only_if_it_is_said_how(study: StudyFolder) -> None:
    study.write_manifest({})
    with pytest.raises(StudyStateError, match="study first exists") as caught:
        require_free(study, resume=False, overwrite=False)
    assert "Try: --resume to go on with it, --overwrite to replace it" in str(caught.value)
    require_free(study, resume=True, overwrite=False)
    require_free(study, resume=False, overwrite=True)


def test_only_a_study_that_exists_is_resumed(study: StudyFolder) -> None:
    with pytest.raises(StudyStateError, match="no study first to resume"):
        require_free(study, resume=True, overwrite=False)
    require_free(study, resume=False, overwrite=False)
    require_free(study, resume=False, overwrite=True)


def test_a_folder_with_only_a_lock_is_free(study: StudyFolder) -> None:
    with study.lock():
        require_free(study, resume=False, overwrite=False)


def test_a_folder_of_something_else_is_not_taken_for_a_study(study: StudyFolder) -> None:
    study.path.mkdir(parents=True)
    study.split_path.touch()  # as a search leaves it that was killed before its study.json
    (study.path / ".study.json.a1b2").touch()
    require_free(study, resume=False, overwrite=False)
    study.trials_path.mkdir()
    for overwrite in (False, True):
        with pytest.raises(StudyStateError, match="found trials"):
            require_free(study, resume=False, overwrite=overwrite)
