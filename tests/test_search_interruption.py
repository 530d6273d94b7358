import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from small_study import (
    SMALL,
    SPACE_TOML,
    TRIALS,
    Recorder,
    Search,
    kill_once,
    mounted_disk,
    small_options,
    without_times,
)

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.results.folder import StudyFolder
from concrete_study.search.runner import run_search

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def arguments(slabs: Path, folder: Path, *more: str) -> list[str]:
    """The command line of the same search as `whole`."""
    (folder / "space.toml").write_text(SPACE_TOML)
    space = str(folder / "space.toml")
    return ["search", "--data", str(slabs), "--max-epochs", "3", "--space", space, *SMALL, *more]


@pytest.mark.parametrize("after", [2, 4])
def test_a_resumed_search_has_the_same_trials_as_an_uninterrupted_one(
    after: int, whole: Search, slabs: Path, tmp_path: Path
) -> None:
    study, options = StudyFolder(tmp_path / "interrupted"), small_options(slabs)
    with pytest.raises(KeyboardInterrupt):
        run_search(options, study, Recorder(interrupt_after=after))
    assert without_times(study.trials()) == whole.records[:after]
    manifest = study.manifest()
    assert (manifest.state, manifest.finished) == ("interrupted", None)
    before, kept = manifest.seconds, study.trials()
    recorder = Recorder()
    best = run_search(options, study, recorder, resume=True)
    assert replace(best, seconds=0) == replace(whole.best, seconds=0)
    assert without_times(study.trials()) == whole.records
    assert study.trials()[:after] == kept
    assert recorder.planned == (TRIALS, 12, after)
    assert recorder.started == [f"{n:04}" for n in range(after, TRIALS)]
    assert study.manifest().state == "finished"
    assert study.manifest().seconds > before


def test_a_killed_search_is_resumed_with_no_trial_lost_or_repeated(
    whole: Search, slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = StudyFolder(Path("runs") / "killed")
    command = arguments(slabs, tmp_path, "--name", "killed")
    kill_once(lambda: bool(list(study.trials_path.glob("*.json"))), command)
    kept = study.trials()
    assert 1 <= len(kept) < TRIALS
    assert study.state() == "interrupted"
    assert run(arguments(slabs, tmp_path, "--name", "killed", "--resume")) == ExitCode.OK
    assert without_times(study.trials()) == whole.records
    assert study.trials()[: len(kept)] == kept
    assert study.state() == "finished"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB, enough for one or two trials."""
    with mounted_disk(tmp_path / "disk", "64k") as folder:
        yield folder


def test_a_full_disk_ends_the_search_and_it_resumes_with_more_space(
    whole: Search,
    slabs: Path,
    small_disk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(small_disk)
    study = StudyFolder(Path("runs") / "full")
    given = arguments(slabs, tmp_path, "--name", "full")
    assert run(given) == ExitCode.RESOURCES
    error = capsys.readouterr().err
    assert "Error: No disk space left" in error
    assert "Traceback" not in error
    kept = study.trials()
    assert len(kept) < TRIALS
    for path in study.path.iterdir():
        assert not path.name.startswith(".") or path.name == ".lock", path
    json.loads(study.manifest_path.read_text())
    remount = ["mount", "-o", "remount,size=4m", str(small_disk)]
    subprocess.run(remount, check=True)
    assert run([*given, "--resume"]) == ExitCode.OK
    assert without_times(study.trials()) == whole.records
    assert study.trials()[: len(kept)] == kept
