"""A search small enough for a test: 28 drawn slabs at 32 pixels, six trials, two architectures."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from concrete_study.datasets.sample import make_sample
from concrete_study.results.folder import StudyFolder
from concrete_study.results.hyperparameters import Dimension, Space, default_space
from concrete_study.results.records import Epoch, SearchOptions, TrialRecord
from concrete_study.search.progress import SearchProgress
from concrete_study.search.runner import run_search

TRIALS = 6  # of Hyperband at 3 epochs: 3 at 1, 1 of them to 3; 2 at 3

# Every architecture (head units, unfreeze depth) costs its compilation; these are two.
SPACE: Space = default_space() | {
    "head_units": Dimension(choices=(0,)),
    "unfreeze_depth": Dimension(choices=(0, 1)),
    "image_size": Dimension(choices=(32,)),
    "feature_layers": Dimension(choices=("block5",)),
    "feature_scaling": Dimension(choices=("none",)),
}
SPACE_TOML = """head_units = 0
unfreeze_depth = [0, 1]
feature_layers = "block5"
feature_scaling = "none"
"""
SMALL = (
    *("--image-size", "32", "--views", "2", "--batch-size", "8", "--precision", "float32"),
    *("--seed", "5", "--folds", "0", "--objective", "val_loss"),
)


def draw_images(folder: Path, *, seed: int = 3) -> Path:
    """Two classes of 14 images each; 10 train, 2 validate, 2 test."""
    make_sample(folder, images=28, size=48, seed=seed)
    return folder


def small_options(images: Path, **changes: Any) -> SearchOptions:
    """The options of a small search; the command line's `SMALL` says the same."""
    given: dict[str, Any] = {
        "data": (str(images),),
        "max_epochs": 3,
        "views": 2,
        "batch_size": 8,
        "precision": "float32",
        "objective": "val_loss",
        "seed": 5,  # of its trials some fine-tune on every rung, the best among them
        "space": SPACE,
        "folds": 0,
    }
    return SearchOptions(**given | changes)


def copied(study: StudyFolder, folder: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    """A copy of a study as `runs/small` of a folder, which is then the current one."""
    monkeypatch.chdir(folder)
    copy = StudyFolder(Path("runs/small"))
    shutil.copytree(study.path, copy.path)
    return copy


def without_times(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Records as they must come out again: all but how long they took."""
    return [replace(record, seconds=0.0) for record in records]


class Recorder(SearchProgress):
    """Records all progress, and interrupts the search as Ctrl-C does after some trials."""

    def __init__(self, *, interrupt_after: int | None = None) -> None:
        self.interrupt_after = interrupt_after
        self.messages: list[str] = []
        self.counted: dict[str, int] = {}
        self.planned: tuple[int, int, int] | None = None
        self.started: list[str] = []
        self.epochs: list[Epoch] = []
        self.done: list[tuple[TrialRecord, TrialRecord | None]] = []

    def log(self, message: str) -> None:
        self.messages.append(message)

    @contextmanager
    def counting(
        self, description: str, total: int, unit: str = "images"
    ) -> Iterator[Callable[[int], None]]:
        self.counted[description] = 0

        def count(done: int) -> None:
            self.counted[description] += done

        yield count

    def plan(self, trials: int, epochs: int, kept: Sequence[TrialRecord]) -> None:
        self.planned = trials, epochs, len(kept)

    def trial_started(self, trial: TrialRecord) -> None:
        self.started.append(trial.trial)

    def epoch_done(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)

    def trial_done(self, trial: TrialRecord, best: TrialRecord | None) -> None:
        self.done.append((trial, best))
        if len(self.done) == self.interrupt_after:
            raise KeyboardInterrupt


class Search(NamedTuple):
    """A search that has ended: what was asked, where it is, what was recorder."""

    options: SearchOptions
    study: StudyFolder
    recorder: Recorder
    best: TrialRecord

    @property
    def records(self) -> list[TrialRecord]:
        return without_times(self.study.trials())


def searched(images: Path, folder: Path, **changes: Any) -> Search:
    """Runs a small search in the study folder `folder`."""
    options, study, recorder = small_options(images, **changes), StudyFolder(folder), Recorder()
    return Search(options, study, recorder, run_search(options, study, recorder))


def kill_once(is_time: Callable[[], bool], arguments: Sequence[str]) -> None:
    """Runs `study` in a process of its own, and kills it as soon as it is time."""
    process = subprocess.Popen(
        [sys.executable, "-m", "concrete_study", *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 240
        while not is_time() and time.monotonic() < until:
            assert process.poll() is None
            time.sleep(0.002)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()


@contextmanager
def mounted_disk(folder: Path, size: str) -> Iterator[Path]:
    """A new folder on its own disk, e.g. of `40m`; skips the test where none can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if sys.platform != "linux" or os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("no right to mount a disk of our own")
    try:
        yield folder
    finally:
        os.chdir("/")
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """A folder that cannot be written, by root either; skips the test where that is impossible."""
    if os.geteuid():
        folders = [path for path in (folder, *folder.rglob("*")) if path.is_dir()]
        for path in folders:
            path.chmod(0o555)
        try:
            yield folder
        finally:
            for path in folders:
                path.chmod(0o755)
        return
    bind = ["mount", "--bind", str(folder), str(folder)]
    if sys.platform != "linux" or subprocess.run(bind, check=False).returncode:
        pytest.skip("no right to mount a folder")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
