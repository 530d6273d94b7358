import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_records import retraining_record, write_study

from concrete_study.datasets.errors import NotRetrainedError, StudyStateError
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import TrialRecord
from concrete_study.results.runs import list_studies

ROOT = Path(__file__).parents[1]


def make_study(runs: Path, name: str, **more: Any) -> StudyFolder:
    return write_study(StudyFolder(runs / name), **more)


def record(trial: str, **more: Any) -> TrialRecord:
    return TrialRecord(
        trial=trial,
        status="completed",
        hyperparameters={"dropout": 0.3},
        epochs=2,
        seconds=1.0,
        **more,
    )


def test_trials_are_read_by_id_whatever_the_order_of_writing(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path / "first")
    assert study.trials() == []
    for trial in ("10000", "0002", "0001"):
        study.write_trial(record(trial))
    assert [trial.trial for trial in study.trials()] == ["0001", "0002", "10000"]


def test_the_table_of_trials_has_every_record_by_id(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path / "first")
    second = record("0001", score=0.25, message='a "quoted" message, with a comma')
    study.write_table([second, record("0000", score=0.5)])
    table = pd.read_csv(study.table_path, dtype={"trial": str})
    assert table["trial"].tolist() == ["0000", "0001"]
    assert table["score"].tolist() == [0.5, 0.25]
    assert table["message"].tolist()[1] == second.message
    study.write_table([record("0000", score=0.5), record("0001", score=0.125)])
    assert pd.read_csv(study.table_path)["score"].tolist() == [0.5, 0.125]


def test_writing_a_trial_reads_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = StudyFolder(tmp_path / "first")
    written = [record(f"{number:04}", score=0.5) for number in range(3)]
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} is read"))
    for number, trial in enumerate(written, start=1):
        study.write_trial(trial)
        study.write_table(written[:number])
    monkeypatch.undo()
    assert study.trials() == written


def test_clearing_keeps_the_lock_and_the_target_of_a_link(tmp_path: Path) -> None:
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


def test_an_interrupted_clearing_leaves_a_study_that_is_still_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(tmp_path, "first")
    study.write_trial(record("0000"))

    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("concrete_study.results.folder.shutil.rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.clear()
    assert list_studies(tmp_path) == [study]


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
    with pytest.raises(NotRetrainedError, match="has no retrained model") as caught:
        study.required_metrics()
    assert caught.value.study == "first"
    metrics = retraining_record("first")
    study.write_metrics(metrics)
    assert study.metrics() == study.required_metrics() == metrics


def test_a_study_is_locked_by_another_process_until_that_is_killed(
    tmp_path: Path,
) -> None:
    study = make_study(tmp_path, "first", state="running")
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\n"
            "from pathlib import Path\n"
            "from concrete_study.results.folder import StudyFolder\n"
            "with StudyFolder(Path(sys.argv[1])).lock():\n"
            "    print('locked', flush=True)\n"
            "    time.sleep(60)",
            str(study.path),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
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
