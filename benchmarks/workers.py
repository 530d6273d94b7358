"""Trials per minute of one process and of several workers, and their memory.

Each search runs in a process of its own on the same cached features; its time is from the first
trial that is requested to the last result, without the start of TensorFlow and Ray.

    python benchmarks/workers.py METU --images 400 --trials 12 --depths 0
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from concrete_study.results.folder import StudyFolder
from concrete_study.results.hyperparameters import Dimension, default_space
from concrete_study.results.records import SearchOptions, TrialRecord
from concrete_study.search.progress import SearchProgress


class Clock(SearchProgress):
    """Times the trials, and reads the memory of the workers after each."""

    def __init__(self) -> None:
        self.first: float | None = None
        self.ready = self.last = 0.0
        self.processes: set[int] = set()
        self.worker_bytes = 0

    def log(self, message: str) -> None:
        """Keeps the process of a worker that is ready."""
        if message.endswith("is ready."):
            self.ready = time.monotonic()
            self.processes.add(int(message.partition("(process ")[2].partition(")")[0]))

    def trial_started(self, trial: TrialRecord) -> None:
        """The clock starts with the first trial."""
        self.first = self.first or time.monotonic()

    def trial_done(self, trial: TrialRecord, best: TrialRecord | None) -> None:
        """The last one ends it."""
        self.last = time.monotonic()
        sizes = [resident_bytes(process) for process in self.processes]
        self.worker_bytes = max([self.worker_bytes, *sizes])


def resident_bytes(process: int) -> int:
    """Memory of a process that no other one shares, on Linux."""
    path = Path(f"/proc/{process}/smaps_rollup")
    if not path.exists():
        return 0
    lines = [line.split() for line in path.read_text().splitlines()]
    return sum(1024 * int(line[1]) for line in lines if line[0].startswith("Private_"))


def measure(arguments: argparse.Namespace) -> None:
    """Runs one search in this process and prints its figures as JSON."""
    from concrete_study.search.runner import run_search
    from concrete_study.search.worker_options import WorkerOptions

    depths = Dimension(choices=tuple(arguments.depths))
    options = SearchOptions(
        data=(str(arguments.images_folder.resolve()),),
        algorithm="random",
        trials=arguments.trials,
        search_images=arguments.images,
        precision="float32",
        space=default_space() | {"unfreeze_depth": depths},
    )
    clock = Clock()
    workers = WorkerOptions(workers=arguments.workers)
    with tempfile.TemporaryDirectory() as folder:
        study = StudyFolder(Path(folder) / "study")
        run_search(options, study, clock, workers=workers)
        scores = [record.score for record in study.trials()]
    begun = max(clock.first or 0.0, clock.ready)
    print(
        json.dumps(
            {
                "workers": arguments.workers,
                "trials_per_minute": round(60 * arguments.trials / (clock.last - begun), 2),
                "start_seconds": round(begun - (clock.first or 0.0), 1),
                "worker_megabytes": round(clock.worker_bytes / 1e6),
                "scores": scores,
            }
        )
    )


def main() -> None:
    """Runs each number of workers in a new process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("images_folder", type=Path)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--depths", type=int, nargs="+", default=[0])
    parser.add_argument("--workers", type=int, help="measures only this one, in this process")
    arguments = parser.parse_args()
    if arguments.workers:
        measure(arguments)
        return
    for workers in (1, 2):
        command = [sys.executable, *sys.argv, "--workers", str(workers)]
        subprocess.run(command, check=True, env=dict(os.environ))


if __name__ == "__main__":
    main()
