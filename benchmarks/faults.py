"""Kills every command at random moments, runs it again, and compares all results.

    python benchmarks/faults.py --kills 200
    python benchmarks/faults.py --kills 20 --seed 1

A study of 28 drawn images at 32 pixels in float32 goes through search, best, report, adapt and
audit: once without a fault, then in rounds on an empty feature cache in which each command is
killed (SIGKILL) some times before it may end. Compared with the first run are the names of all
files of the study, the text of every CSV file and of every trial, without seconds and times; and
trials and features that were there at a kill may not be written again. Linux and macOS.

Prints a line per round and a table; the exit code is 1 after any difference.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from concrete_study.datasets.sample import make_sample

ROOT = Path(__file__).resolve().parents[1]
SEARCH = (
    *("search", "--data", "../images", "--name", "x", "--max-epochs", "3", "--views", "2"),
    *("--image-size", "32", "--batch-size", "8", "--precision", "float32", "--folds", "2"),
)
COMMANDS = {
    "search": SEARCH,
    "best": ("best", "x", "--export", "--format", "saved-model"),
    "report": ("report", "x"),
    "adapt": ("adapt", "x", "--data", "../site"),
    "audit": ("audit", "x"),
}
MOST_KILLS = 4  # of one command in one round


def main() -> None:
    """Runs the rounds and prints what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw, kills, differences = random.Random(given.seed), Counter[str](), list[str]()
    with TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        make_sample(folder / "images", images=28, size=48, seed=3)
        make_sample(folder / "site", images=28, size=48, seed=11)
        seconds = {command: run(folder / "whole", command) for command in COMMANDS}
        expected, number = contents(folder / "whole"), 0
        while kills.total() < given.kills:
            number += 1
            here = folder / f"round-{number}"
            for command in COMMANDS:
                for _ in range(min(draw.randint(1, MOST_KILLS), given.kills - kills.total())):
                    if not kill(here, command, draw.uniform(1, seconds[command])):
                        break
                    kills[command] += 1
                before = finished(here)
                run(here, command)
                differences += [
                    f"round {number}, {command}: {path} was written again"
                    for path, _ in before.items() - finished(here).items()
                ]
            found = compare(expected, contents(here))
            differences += [f"round {number}: {line}" for line in found]
            print(f"round {number}: {kills.total()} kills, {len(found)} differences", flush=True)
    print("\n| command | kills |\n|---|---|")
    print("\n".join(f"| {command} | {kills[command]} |" for command in COMMANDS))
    print("\n".join(differences) or "\nNo difference.")
    sys.exit(bool(differences))


def start(folder: Path, command: str) -> subprocess.Popen[bytes]:
    """Starts a command in a folder of its own, with a feature cache of its own."""
    folder.mkdir(exist_ok=True)
    began = (folder / "runs" / "x" / "study.json").exists()
    resume = ("--resume",) if command == "search" and began else ()
    environment = {"PYTHONPATH": str(ROOT), "STUDY_CACHE_DIR": str(folder / "cache")}
    return subprocess.Popen(
        [sys.executable, "-m", "concrete_study", *COMMANDS[command], *resume],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def run(folder: Path, command: str) -> float:
    """Runs a command to its end, in seconds; ends the program if it fails."""
    began = time.monotonic()
    process = start(folder, command)
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"{command} failed in {folder.name}:\n{errors.decode()}")
    return time.monotonic() - began


def kill(folder: Path, command: str, seconds: float) -> bool:
    """Kills a command after some seconds; False if it ended before."""
    process = start(folder, command)
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    return False


def finished(folder: Path) -> dict[Path, int]:
    """When each trial and each file of features was written."""
    paths = [*folder.glob("runs/x/trials/*.json"), *folder.glob("cache/features/*/view-*.npy")]
    return {path: path.stat().st_mtime_ns for path in paths}


def contents(folder: Path) -> dict[str, str]:
    """The comparable text of each file of the study, by its name."""
    return dict(_contents(folder / "runs" / "x"))


def _contents(study: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(study.rglob("*")):
        name = str(path.relative_to(study))
        if path.is_dir() or "keras_tuner" in name:
            continue
        text = ""
        if path.suffix == ".csv" and path.name != "environment.csv":  # has times
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
            text = table.drop(columns="seconds", errors="ignore").to_csv(index=False)
        elif path.suffix == ".json":
            content = json.loads(path.read_text())  # whole
            if path.parent.name == "trials":
                text = str(content | {"seconds": None, "sha256": None})  # of the seconds, too
        yield name, text


def compare(expected: dict[str, str], received: dict[str, str]) -> list[str]:
    """The names of files that are missing, were not expected, or differ."""
    lines = [f"{name} is missing" for name in expected.keys() - received.keys()]
    lines += [f"{name} was not expected" for name in received.keys() - expected.keys()]
    both = expected.keys() & received.keys()
    return sorted(lines + [f"{name} differs" for name in both if expected[name] != received[name]])


if __name__ == "__main__":
    main()
