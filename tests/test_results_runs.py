import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from small_records import write_study

from concrete_study.datasets.errors import (
    StudyExistsError,
    StudyStateError,
    UnknownStudyError,
    UsageError,
)
from concrete_study.results.folder import StudyFolder
from concrete_study.results.runs import (
    check_name,
    claim_study,
    latest_study,
    list_studies,
    open_study,
    require_free,
)

ROOT = Path(__file__).parents[1]


def make_study(runs: Path, name: str, minute: int = 0, **more: Any) -> StudyFolder:
    created = datetime(2026, 11, 23, 10, minute, tzinfo=UTC).isoformat()
    return write_study(StudyFolder(runs / name), **{"created": created, **more})


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    return StudyFolder(tmp_path / "first")


def test_an_existing_study_needs_resume_or_overwrite(study: StudyFolder) -> None:
    write_study(study)
    with pytest.raises(StudyExistsError, match="first already exists") as caught:
        require_free(study, resume=False, overwrite=False)
    assert caught.value.study == "first"
    require_free(study, resume=True, overwrite=False)
    require_free(study, resume=False, overwrite=True)


def test_only_an_existing_study_is_resumed(study: StudyFolder) -> None:
    with pytest.raises(UnknownStudyError, match="No study first to resume"):
        require_free(study, resume=True, overwrite=False)
    require_free(study, resume=False, overwrite=False)
    require_free(study, resume=False, overwrite=True)


def test_a_folder_with_only_a_lock_is_free(study: StudyFolder) -> None:
    with study.lock():
        require_free(study, resume=False, overwrite=False)


def test_a_folder_with_other_files_is_not_a_study(study: StudyFolder) -> None:
    study.path.mkdir(parents=True)
    study.split_path.touch()  # as a search killed before its study.json leaves it
    (study.path / ".study.json.a1b2").touch()
    require_free(study, resume=False, overwrite=False)
    study.trials_path.mkdir()
    for overwrite in (False, True):
        with pytest.raises(StudyStateError, match="found trials"):
            require_free(study, resume=False, overwrite=overwrite)


def test_only_folders_with_a_manifest_are_studies_and_the_oldest_comes_first(
    tmp_path: Path,
) -> None:
    make_study(tmp_path, "a", minute=5)
    make_study(tmp_path, "b", minute=1)
    (tmp_path / "notes").mkdir()
    assert [study.name for study in list_studies(tmp_path)] == ["b", "a"]
    assert latest_study(tmp_path).name == "a"
    assert list_studies(tmp_path / "nowhere") == []


def test_creation_times_of_different_zones_are_ordered_as_instants(tmp_path: Path) -> None:
    make_study(tmp_path, "later", created="2026-11-23T10:00:00+00:00")
    make_study(tmp_path, "earlier", created="2026-11-23T11:00:00+05:00")
    assert [study.name for study in list_studies(tmp_path)] == ["earlier", "later"]


def test_an_unknown_study_is_an_error_with_similar_names(tmp_path: Path) -> None:
    make_study(tmp_path, "first")
    with pytest.raises(UnknownStudyError, match=r"Did you mean first\?"):
        open_study(tmp_path, "frist")


def test_without_any_study_the_hint_is_to_search(tmp_path: Path) -> None:
    with pytest.raises(UnknownStudyError, match="Try: run a search first"):
        latest_study(tmp_path)
    with pytest.raises(UnknownStudyError, match="Try: run a search first"):
        open_study(tmp_path, "first")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "first"}'])
def test_a_damaged_manifest_is_named_and_does_not_hide_other_studies(
    tmp_path: Path, content: str
) -> None:
    make_study(tmp_path, "good")
    damaged = make_study(tmp_path, "bad")
    damaged.manifest_path.write_text(content)
    assert {study.name for study in list_studies(tmp_path)} == {"good", "bad"}
    with pytest.raises(StudyStateError, match=r"bad/study\.json is damaged"):
        open_study(tmp_path, "bad")


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "-x", "a/b", "a\\b", "a b", "é", "a\n", "x" * 101]
)
def test_names_that_are_not_plain_folder_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a valid study name"):
        open_study(tmp_path, name)


@pytest.mark.parametrize("name", ["first", "2026-11-23_vgg16.v2", "_"])
def test_plain_names_are_valid(name: str) -> None:
    assert check_name(name) == name


def test_two_processes_that_claim_a_number_at_once_take_two(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    program = (
        "import sys, time; from pathlib import Path\n"
        "from concrete_study.results.runs import claim_study\n"
        "with claim_study(Path(sys.argv[1]), 'grid') as study:\n"
        "    with study.lock():\n"
        "        print(study.name, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(runs)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        for _ in range(3)
    ]
    names = {process.stdout.readline() for process in processes if process.stdout}
    assert names == {b"grid-1\n", b"grid-2\n", b"grid-3\n"}
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert not runs.exists()  # none of them has begun
    (runs / "grid-1").mkdir(parents=True)
    (runs / "grid-1" / "study.json").touch()
    with claim_study(runs, "grid") as study:
        assert study.name == "grid-2"
        (study.path / "study.json").touch()
    assert sorted(path.name for path in runs.iterdir()) == ["grid-1", "grid-2"]
