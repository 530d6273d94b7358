"""Random faults of a search on a Ray cluster of several nodes, compared with one process. Linux.

    python benchmarks/cluster_faults.py --rounds 5

28 drawn images at 32 pixels in float32, a Hyperband search of the head alone. Each round starts a
head node and two more on the loopback address, each with a feature cache of its own, and a search
with `--cluster`. Every 5 to 20 seconds one of these happens, each once, in random order: a worker
process is killed (SIGKILL); a node is removed, and another one joins; a node joins; the search
itself is killed and resumed, with the cluster or with one process; a second search of the same
name is started, which must be refused. The round ends with the search, and the table of trials
must then be that of one process.

Prints a line per round and a table of counts; the exit code is 1 after any difference.
"""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import ray
from ray.cluster_utils import Cluster

from concrete_study.datasets.sample import make_sample
from concrete_study.search.ray_connection import LEAST_THREADS

ROOT = Path(__file__).resolve().parents[1]
SPACE = """head_units = 0
unfreeze_depth = 0
feature_layers = "block5"
feature_scaling = "none"
"""
SEARCH = (
    *("search", "--data", "../images", "--name", "x", "--max-epochs", "3", "--views", "2"),
    *("--image-size", "32", "--batch-size", "8", "--precision", "float32"),
    *("--space", "../space.toml"),
)
FAULTS = ("worker killed", "node removed", "node added", "search killed", "second search")
READY = re.compile(r"\(process (\d+)\) is ready")
SECONDS = 5.0, 20.0  # between two faults; a worker takes some 10 s to start
PATIENCE = 900.0  # until a round counts as hanging
STATE_ERROR = 4  # docs/exit-codes.md


class Round:
    """A cluster, a search on it, and what happens to them."""

    def __init__(self, folder: Path, draw: random.Random) -> None:
        self.folder, self.draw, self.counts = folder, draw, Counter[str]()
        folder.mkdir()
        self.log = folder / "search.log"
        node = {"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False}
        self.cluster: Any = Cluster(initialize_head=True, head_node_args=node)
        self.nodes = 0
        self.add_node()
        self.add_node()
        self.process = self.start()

    def add_node(self) -> None:
        """Adds a node with an empty cache."""
        self.nodes += 1
        cache = {"STUDY_CACHE_DIR": str(self.folder / f"cache-{self.nodes}")}
        self.cluster.add_node(num_cpus=1, object_store_memory=100_000_000, env_vars=cache)

    def start(self, *more: str, workers: bool = True) -> subprocess.Popen[bytes]:
        """Starts the search, on the cluster or in one process."""
        where = ("--cluster", self.cluster.address) if workers else ()
        return launch(self.folder, self.log, *where, *more)

    def run(self) -> int:
        """Disturbs the search until it ends; returns its exit code, or -1 if it hangs."""
        until = time.monotonic() + PATIENCE
        pending = self.draw.sample(FAULTS, len(FAULTS))
        while time.monotonic() < until:
            with suppress(subprocess.TimeoutExpired):
                return self.process.wait(self.draw.uniform(*SECONDS))
            if not pending:
                continue
            fault = pending.pop(0)
            if getattr(self, fault.replace(" ", "_"))():
                self.counts[fault] += 1
            else:
                pending.append(fault)  # not possible yet
        self.process.kill()
        return -1

    def worker_killed(self) -> bool:
        """Kills a worker that has reported its process, if one still runs."""
        for process in self.draw.sample(found := READY.findall(self.log.read_text()), len(found)):
            with suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
                return True
        return False

    def node_removed(self) -> bool:
        """Removes a node without a warning; another one joins."""
        self.cluster.remove_node(
            self.draw.choice(list(self.cluster.worker_nodes)), allow_graceful=False
        )
        self.add_node()
        return True

    def node_added(self) -> bool:
        """Adds a node, of at most four."""
        if is_room := len(self.cluster.worker_nodes) < 4:
            self.add_node()
        return is_room

    def search_killed(self) -> bool:
        """Kills the search, and resumes it with another number of workers."""
        if not (self.folder / "runs" / "x" / "study.json").exists():
            return False
        self.process.kill()
        self.process.wait()
        self.process = self.start("--resume", workers=self.draw.random() < 0.5)
        return True

    def second_search(self) -> bool:
        """Starts the same search again while the first one runs."""
        if not (self.folder / "runs" / "x" / "study.json").exists():
            return False
        second = launch(self.folder, self.folder / "second.log", "--resume")
        code = second.wait()
        if self.process.poll() is None and code != STATE_ERROR:
            raise SystemExit(f"A second search ended with {code}: {self.folder}")
        return True

    def close(self) -> None:
        """Stops the cluster."""
        ray.shutdown()
        self.cluster.shutdown()


def launch(folder: Path, log: Path, *more: str) -> subprocess.Popen[bytes]:
    """Starts a search in a folder, with the cache `cache` there; its messages go to the log."""
    folder.mkdir(exist_ok=True)
    here = {"PYTHONPATH": str(ROOT), "STUDY_CACHE_DIR": str(folder / "cache")}
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "concrete_study", *SEARCH, *more],
            cwd=folder,
            env=os.environ | here,
            stdout=output,
            stderr=output,
        )


def trials(folder: Path) -> pd.DataFrame:
    """The table of trials without times."""
    return pd.read_csv(folder / "runs" / "x" / "trials.csv").drop(columns="seconds")


def main() -> None:
    """Runs the rounds, and prints what differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw, counts, failures = random.Random(given.seed), Counter[str](), 0
    os.environ["PYTHONPATH"] = str(ROOT)  # of the nodes
    with TemporaryDirectory(prefix="cluster-faults-") as name:
        folder = Path(name)
        make_sample(folder / "images", images=28, size=48, seed=3)
        (folder / "space.toml").write_text(SPACE)
        # As each worker has; sums in another number of threads differ in the last digits.
        os.environ["TF_NUM_INTRAOP_THREADS"] = str(LEAST_THREADS)
        if launch(folder / "whole", folder / "whole.log").wait():
            raise SystemExit((folder / "whole.log").read_text())
        expected = trials(folder / "whole")
        for number in range(1, given.rounds + 1):
            disturbed = Round(folder / f"round-{number}", draw)
            try:
                code = disturbed.run()
            finally:
                disturbed.close()
            counts += disturbed.counts
            is_equal = code == 0 and trials(disturbed.folder).equals(expected)
            failures += not is_equal
            happened = ", ".join(f"{count} {fault}" for fault, count in disturbed.counts.items())
            print(f"round {number}: exit code {code}, {is_equal=}; {happened}", flush=True)
            if not is_equal:
                print(disturbed.log.read_text()[-3000:])
    print("\n| fault | count |\n|---|---|")
    print("\n".join(f"| {fault} | {counts[fault]} |" for fault in FAULTS))
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
