"""A process of its own for each contender, and what it used. Linux only."""

import os
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from table import Row


def run_child(command: Sequence[str], folder: Path, name: str) -> Row:
    """Runs a command in `folder`, its cache there, its output in a log; returns what it used."""
    log = folder / f"{name}.log"
    cache = {"STUDY_CACHE_DIR": str(folder / "cache"), "TF_CPP_MIN_LOG_LEVEL": "2"}
    began, start = time.time(), time.monotonic()
    with log.open("w") as output:
        child = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=output, env=os.environ | cache
        )
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, its counters still there
    seconds = time.monotonic() - start
    written = Path(f"/proc/{child.pid}/io").read_text().partition("\nwrite_bytes: ")[2]
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{shlex.join(command)} failed:\n{log.read_text()[-4000:]}")
    return {
        "contender": name,
        "began": began,
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
        "disk_write_mb": int(written.split()[0]) / 1e6,
    }


def megabytes(folder: Path) -> float:
    """What the files below a folder hold."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
