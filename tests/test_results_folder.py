import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from concrete_study.datasets.errors import StudyStateError, UsageError
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import TrialRecord
from concrete_study.results.runs import check_name, latest_study, list_studies, open_study

ROOT = Path(__file__).parents[1]


def make_study(runs: Path, name: str, minute: int = 0, **more: Any) -> StudyFolder:
    study = StudyFolder(runs / name)
    created = datetime(2026, 11, 23, 10, minute, tzinfo=UTC).isoformat()
    study.write_manifest(
        {"name": name, "created": created, "state": "finished", "options": {}, **more}
    )
    return study


def record(trial: str, **more: Any) -> TrialRecord:
    return TrialRecord(
        trial=trial,
        status="completed",
        hyperparameters={"dropout": 0.3},
        epochs=2,
        seconds=1.0,
        **more,
    )


def test_trials_come_back_by_id_whatever_the_order_of_writing(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path / "first")
    assert study.trials() == []
    for trial in ("10000", "0002", "0001"):
        study.write_trial(record(trial))
    assert [trial.trial for trial in study.trials()] == ["0001", "0002", "10000"]


def test_the_table_of_trials_follows_every_trial_written(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path / "first")
    study.write_trial(record("0000", score=0.5))
    study.write_trial(record("0001", score=0.25, message='said "no", twice'))
    table = pd.read_csv(study.table_path, dtype={"trial": str})
    assert table["trial"].tolist() == ["0000", "0001"]
    assert table["score"].tolist() == [0.5, 0.25]
    assert table["message"].tolist()[1] == 'said "no", twice'
    study.write_trial(record("0001", score=0.125))
    assert pd.read_csv(study.table_path)["score"].tolist() == [0.5, 0.125]


def test_the_table_can_be_written_anew_from_the_records(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path / "first")
    study.write_trial(record("0000", score=0.5))
    table = study.table_path.read_bytes()
    study.table_path.write_text("cut of")
    study.write_table()
    assert study.table_path.read_bytes() == table


def test_clearing_leaves_the_lock_and_what_a_link_leads_to(tmp_path: Path) -> None:
    external = tmp_path / "external"
    external.mkdir()
    study = make_study(tmp_path, "first")
    study.write_trial(record("0000"))
    (study.best_path / "saved_model").mkdir(parents=True)
    (study.path / ".best.new").mkdir()
    (study.path / "link").symlink_to(external)
    with study.lock():
        study.clear()
        assert [path.name for path in study.path.iterdir()] == [".lock"]
    assert external.is_dir()
    assert list_studies(tmp_path) == []


def test_a_clearing_cut_short_leaves_a_study_that_is_still_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(tmp_path, "first")
    study.write_trial(record("0000"))

    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("results.folder.shutil.rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.clear()
    assert list_studies(tmp_path) == [study]


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


def test_an_unknown_study_is_refused_with_near_names(tmp_path: Path) -> None:
    make_study(tmp_path, "first")
    with pytest.raises(StudyStateError) as caught:
        open_study(tmp_path, "frist")
    assert "Did you mean first?" in str(caught.value)
    assert "Try: study list" in str(caught.value)


def test_without_any_study_the_hint_is_to_search(tmp_path: Path) -> None:
    with pytest.raises(StudyStateError, match="Try: study search"):
        latest_study(tmp_path)
    with pytest.raises(StudyStateError, match="Try: study search"):
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


@pytest.mark.parametrize("content", ["", "{}", '{"metrics": 1, "curve": []}', "null"])
def test_a_damaged_trial_is_named(tmp_path: Path, content: str) -> None:
    study = make_study(tmp_path, "first")
    study.write_trial(record("0000"))
    (study.trials_path / "0001.json").write_text(content)
    with pytest.raises(StudyStateError, match=r"0001\.json is damaged"):
        study.trials()


def test_metrics_are_none_until_they_are_written(tmp_path: Path) -> None:
    study = make_study(tmp_path, "first")
    assert study.metrics() is None
    study.best_path.mkdir()
    study.metrics_path.write_text(json.dumps({"test": {"accuracy": 1.0}}))
    assert study.metrics() == {"test": {"accuracy": 1.0}}


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "-x", "a/b", "a\\b", "a b", "é", "a\n", "x" * 101]
)
def test_names_that_are_no_plain_folder_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        open_study(tmp_path, name)


@pytest.mark.parametrize("name", ["first", "2026-11-23_vgg16.v2", "_"])
def test_plain_names_pass(name: str) -> None:
    assert check_name(name) == name


def test_a_study_in_use_by_another_process_is_refused_and_free_when_it_is_killed(
    tmp_path: Path,
) -> None:
    study = make_study(tmp_path, "first", state="running")
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from results.folder import StudyFolder\n"
            "with StudyFolder(Path(sys.argv[1])).lock(): print('held', flush=True); time.sleep(60)",
            str(study.path),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert study.state() == "running"
        with pytest.raises(StudyStateError, match="in use by another process"), study.lock():
            pass
    finally:
        holder.kill()
        holder.communicate()
    assert study.state() == "interrupted"
    with study.lock():
        pass
    with study.lock():
        assert study.state() == "running"
