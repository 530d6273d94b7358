"""Faults of the environment: each command works, or ends with one message and its exit code."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from small_study import (
    SMALL,
    SPACE_TOML,
    Recorder,
    Search,
    copied,
    draw_images,
    mounted_disk,
    read_only,
    small_options,
    without_times,
)
from test_cli_search import TINY, TINY_TOML

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.files import file_sha256
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import TrialRecord
from concrete_study.search.runner import run_search

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
Captured = pytest.CaptureFixture[str]


def content(folder: Path) -> dict[str, str]:
    """Every file with its SHA-256; not the lock, which is empty."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): file_sha256(path) for path in files}


def ends(arguments: Sequence[str], code: ExitCode, captured: Captured, *expected: str) -> None:
    """Runs a command, which ends with a code and, unless it works, with one message."""
    captured.readouterr()
    assert run(arguments) == code, (arguments, captured.readouterr().err)
    error = captured.readouterr().err
    assert "Traceback" not in error
    if code is not ExitCode.OK:
        assert error.count("Error: ") == 1, arguments
    for text in expected:
        assert text in error, (arguments, error)


@pytest.fixture
def small(retrained: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    """A copy of the retrained study as `runs/small`."""
    return copied(retrained, tmp_path, monkeypatch)


@pytest.fixture
def full_disk(
    retrained: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StudyFolder]:
    """The retrained study on a disk on which no block is free."""
    with mounted_disk(tmp_path / "disk", "200m") as folder:
        study = copied(retrained, folder, monkeypatch)
        (study.path / ".lock").touch()
        with pytest.raises(OSError, match="No space left"), Path("rest").open("wb") as file:
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        yield study


@pytest.fixture(scope="module")
def other_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that are in no study."""
    return draw_images(tmp_path_factory.mktemp("other") / "images", seed=9)


def test_on_a_full_disk_no_command_leaves_a_part_of_its_output(
    full_disk: StudyFolder, slabs: Path, other_images: Path, capsys: Captured
) -> None:
    image = str(next((slabs / "Positive").iterdir()))
    before = content(full_disk.path)
    for command in (["list"], ["show"], ["best"], ["compare"], ["predict", image], ["doctor"]):
        ends(command, ExitCode.OK, capsys)
    for command in (
        ["search", "--data", str(slabs), "--max-epochs", "1", *SMALL, "--name", "new"],
        ["search", "--name", "small", "--resume"],
        ["best", "--retrain"],
        ["best", "--export"],
        ["evaluate", "--data", str(other_images)],
        ["adapt", "--data", str(other_images), "--site", "here"],
        ["audit"],
        ["report"],
        ["explain", image, "--output", "overlay.png"],
        ["rename", "small", "other"],
        ["data", "check", str(slabs), "--page", "check"],
    ):
        ends(command, ExitCode.RESOURCES, capsys)
        full_disk = StudyFolder(next(Path("runs").iterdir()))
        assert content(full_disk.path) == before, command
        assert sorted(path.name for path in Path().iterdir()) == ["rest", "runs"], command
        assert len(list(Path("runs").iterdir())) == 1, command
    ends(["rm", full_disk.name, "--yes"], ExitCode.OK, capsys)


def test_a_read_only_cache_is_used_and_named_where_it_lacks_something(
    whole: Search,
    slabs: Path,
    cache: Path,
    tmp_path: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("space.toml").write_text(SPACE_TOML)
    given = ["search", "--data", str(slabs), "--max-epochs", "3", "--space", "space.toml", *SMALL]
    with read_only(cache):
        ends([*given, "--name", "again"], ExitCode.OK, capsys)
        ends(["report"], ExitCode.OK, capsys)
        more_views = ["--views", "3", "--name", "more"]
        hint = "STUDY_CACHE_DIR"
        ends([*given, *more_views], ExitCode.RESOURCES, capsys, "Cannot access", hint)
    assert without_times(StudyFolder(Path("runs/again")).trials()) == whole.records
    # It has begun, and its features can be computed once the cache can be written.
    more = StudyFolder(Path("runs/more"))
    assert (more.state(), more.trials()) == ("failed", [])


def test_a_read_only_folder_of_images_is_studied_as_any_other(
    small: StudyFolder, slabs: Path, tmp_path: Path, capsys: Captured
) -> None:
    images = shutil.copytree(slabs, tmp_path / "images")
    image = str(next((images / "Positive").iterdir()))
    Path("tiny.toml").write_text(TINY_TOML)
    with read_only(images):
        search = ["search", "--data", str(images), "--space", "tiny.toml", *TINY]
        ends([*search, "--name", "first"], ExitCode.OK, capsys)
        ends(["best", "first"], ExitCode.OK, capsys)
        ends(["audit", "first"], ExitCode.OK, capsys)
        ends(["predict", image], ExitCode.OK, capsys)
        ends(["explain", image], ExitCode.OK, capsys)
    assert content(images) == content(slabs)


def subprocess_run(
    arguments: Sequence[str], *, prefix: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Runs `study` in a process of its own."""
    return subprocess.run(
        [*prefix, sys.executable, "-m", "concrete_study", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_files_without_permission_are_named(small: StudyFolder, slabs: Path) -> None:
    # Root may read everything, but for a capability that a process can give up.
    without = ("setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search")
    if not os.geteuid() and not shutil.which(without[0]):
        pytest.skip("root, without a way to give up its rights")
    prefix = () if os.geteuid() else without
    images = shutil.copytree(slabs, Path("images"))
    image, folder = sorted((images / "Positive").iterdir())[0], images / "Negative"
    for path, command, code, expected in (
        (image, ["data", "check", "images"], ExitCode.FAULTS, image.name),
        (folder, ["data", "check", "images"], ExitCode.DATA, str(folder)),
        (
            small.manifest_path,
            ["show", "small"],
            ExitCode.STUDY,
            f"{small.manifest_path} cannot be",
        ),
        (small.trials_path, ["show", "small"], ExitCode.RESOURCES, str(small.trials_path)),
        (small.path, ["report", "small"], ExitCode.RESOURCES, str(small.path)),
        (small.path.parent, ["list"], ExitCode.RESOURCES, str(small.path.parent)),
    ):
        mode = path.stat().st_mode
        path.chmod(0)
        ended = subprocess_run(command, prefix=prefix)
        path.chmod(mode)
        assert ended.returncode == code, (command, ended.stderr)
        assert expected in ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("home", [None, "/proc/nowhere"])
def test_without_a_home_folder_only_what_needs_the_cache_ends_with_an_error(
    home: str | None,
    small: StudyFolder,
    slabs: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HOME", "STUDY_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    if home:
        monkeypatch.setenv("HOME", home)
    image = str(next((slabs / "Positive").iterdir()))
    for command in (["list"], ["report"], ["predict", image]):
        ends(command, ExitCode.OK, capsys)
    if home:
        # A process of its own: Keras and Matplotlib look for the folder when they are imported.
        ended = subprocess_run(["search", "--data", str(slabs), *SMALL])
        assert ended.returncode == ExitCode.RESOURCES, ended.stderr
        assert f"{home}/.cache/concrete-study" in ended.stderr
        assert "STUDY_CACHE_DIR" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_clock_that_is_set_back_changes_no_trial_and_no_order(
    whole: Search, slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    study, options = StudyFolder(Path("runs/first")), small_options(slabs)
    with pytest.raises(KeyboardInterrupt):
        run_search(options, study, Recorder(interrupt_after=2))
    seconds = study.manifest().seconds
    earlier = datetime.fromisoformat(study.manifest().created).replace(year=2001).isoformat()
    for module in ("search.manifest", "study.retraining"):
        monkeypatch.setattr(f"concrete_study.{module}.now", lambda: earlier)
    run_search(options, study, Recorder(), resume=True)
    assert without_times(study.trials()) == whole.records
    assert study.manifest().seconds > seconds
    assert study.manifest().finished == earlier
    for command in (["show"], ["list"], ["report"]):
        ends(command, ExitCode.OK, capsys)


def both(commands: Sequence[Sequence[str]], **variables: str) -> list[tuple[int, str]]:
    """Runs commands at the same time; returns their exit codes and messages."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "concrete_study", *command],
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    errors = [process.communicate()[1] for process in processes]
    return [(process.returncode, error) for process, error in zip(processes, errors, strict=True)]


def test_two_searches_at_once_share_features_but_not_a_name(
    slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY_TOML)
    search = ["search", "--data", str(slabs), "--space", "tiny.toml", *TINY, "--name"]
    ended = both([[*search, name] for name in ("same", "same", "other")], STUDY_CACHE_DIR="cache")
    codes = [code for code, _ in ended]
    assert sorted(codes) == [ExitCode.OK, ExitCode.OK, ExitCode.STUDY], ended
    assert codes[2] == ExitCode.OK
    (refused,) = (error for code, error in ended if code)
    assert refused.count("Error: ") == 1
    assert "Study same is in use by another process" in refused or "already exists" in refused
    same, other = (StudyFolder(Path("runs") / name) for name in ("same", "other"))
    assert without_times(same.trials()) == without_times(other.trials())
    assert len(same.trials()) == 2

    hidden = [path.name for path in tmp_path.rglob(".*") if path.name != ".lock"]
    assert hidden == []


class Visitor(Recorder):
    """Runs commands after the second trial of a search."""

    def __init__(self, visit: Callable[[], None]) -> None:
        super().__init__()
        self.visit = visit

    def trial_done(self, trial: TrialRecord, best: TrialRecord | None) -> None:
        super().trial_done(trial, best)
        if len(self.done) == 2:
            self.visit()


def test_commands_on_a_study_whose_search_runs_read_it_or_are_refused(
    whole: Search, slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    image = str(next((slabs / "Positive").iterdir()))

    def visit() -> None:
        for command in (["show", "first"], ["list"], ["report", "first"], ["compare", "first"]):
            ends(command, ExitCode.OK, capsys)
        for command, expected in (
            (["best", "first"], "first is in use by another process"),
            (["search", "--name", "first", "--resume"], "in use by another process"),
            (["search", "--name", "first", "--overwrite"], "in use by another process"),
            (["search", "--name", "first"], "first already exists"),
            (["baseline", "--name", "first"], "first"),
            (["audit", "first"], "in use by another process"),
            (["rename", "first", "second"], "in use by another process"),
            (["rm", "first", "--yes"], "in use by another process"),
            (["predict", image, "--study", "first"], "has no retrained model"),
        ):
            ends(command, ExitCode.STUDY, capsys, expected)

    study = StudyFolder(Path("runs/first"))
    run_search(small_options(slabs), study, Visitor(visit))
    assert without_times(study.trials()) == whole.records


def add(images: Path) -> None:
    shutil.copy(images / "Positive" / first(images), images / "Positive" / "zz-new.jpg")


def first(images: Path) -> str:
    return sorted(path.name for path in (images / "Positive").iterdir())[0]


def remove(images: Path) -> None:
    (images / "Positive" / first(images)).unlink()


def change(images: Path) -> None:
    path = images / "Positive" / first(images)
    path.write_bytes(next((images / "Negative").iterdir()).read_bytes())


def relabel(images: Path) -> None:
    (images / "Positive" / first(images)).rename(images / "Negative" / "relabelled.jpg")


def remove_all(images: Path) -> None:
    shutil.rmtree(images)


CHANGES: dict[Callable[[Path], None], tuple[ExitCode, ExitCode]] = {
    add: (ExitCode.STUDY, ExitCode.OK),  # `best` reads the images of the split
    remove: (ExitCode.STUDY, ExitCode.DATA),
    change: (ExitCode.STUDY, ExitCode.DATA),
    relabel: (ExitCode.STUDY, ExitCode.DATA),
    remove_all: (ExitCode.DATA, ExitCode.DATA),
}


@pytest.mark.parametrize("disturb", CHANGES, ids=lambda disturb: disturb.__name__)
def test_changed_images_are_refused_on_resume_and_by_best_and_the_study_stays(
    disturb: Callable[[Path], None],
    whole: Search,
    slabs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    monkeypatch.chdir(tmp_path)
    images = shutil.copytree(slabs, tmp_path / "images")
    study = StudyFolder(Path("runs/first"))
    with pytest.raises(KeyboardInterrupt):
        run_search(small_options(images), study, Recorder(interrupt_after=3))
    before, stored = content(images), content(study.path)
    disturb(images)
    resumed, retrained = CHANGES[disturb]
    name = "no folder" if disturb is remove_all else "have changed"
    ends(["search", "--name", "first", "--resume"], resumed, capsys, name)
    assert content(study.path) == stored
    # Put back, the search ends as if nothing had been.
    shutil.rmtree(images, ignore_errors=True)
    shutil.copytree(slabs, images)
    assert content(images) == before
    ends(["search", "--name", "first", "--resume"], ExitCode.OK, capsys)
    assert without_times(study.trials()) == whole.records
    stored = content(study.path)
    disturb(images)
    if retrained is ExitCode.OK:
        ends(["best", "first"], retrained, capsys)
        return
    ends(["best", "first"], retrained, capsys, name)
    assert content(study.path) == stored
