"""Throughput and memory of `study predict` over many images. Linux only.

    python benchmarks/many_predictions.py --study small --images 100000

Run it in the folder that has `runs/`. The files are hard links to 500 synthetic images of 48
pixels; the file in the middle is damaged. One JSON line. Expected: the last tenth as fast as the
first, and no more memory than for a tenth of the images.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from table import Row

from concrete_study.datasets.sample import make_sample

DRAWN = 500


def main() -> None:
    """Makes the files, predicts and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix=".many-", dir=".") as name:
        folder = make_files(Path(name), arguments.images)
        options = ["--study", arguments.study, "--workers", str(arguments.workers)]
        print(json.dumps(measure(folder, arguments.images, [*options, "--format", "csv"])))


def make_files(folder: Path, count: int) -> Path:
    """Hard links to drawn images, and a file in the middle that is no image."""
    drawn = folder / "drawn"
    make_sample(drawn, images=DRAWN, size=48, seed=3)
    sources = sorted(drawn.rglob("*.jpg"))
    many = folder / "many"
    many.mkdir()
    for number in range(count):
        target = many / f"{number:08}.jpg"
        if number == count // 2:
            target.write_bytes(b"no image")
        else:
            os.link(sources[number % len(sources)], target)
    return many


def measure(folder: Path, count: int, options: list[str]) -> Row:
    """Reads the rows of `study predict` as they come; prints each tenth on stderr."""
    command = [sys.executable, "-m", "concrete_study", "predict", str(folder), *options]
    start = time.monotonic()
    tenths, errors = [], []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        for number, row in enumerate(csv.DictReader(child.stdout or ())):
            if row["error"]:
                errors.append(Path(row["file"]).name)
            if number % (count // 10) == 0 or number == count - 1:
                tenths.append((number, time.monotonic() - start, *used(child.pid)))
                print(*tenths[-1], file=sys.stderr)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if not tenths:
        sys.exit(child.returncode or "no row was printed")
    steps = list(pairwise(tenths))
    return {
        "rows": number + 1,
        "errors": errors,
        "exit_code": child.returncode,
        "seconds": round(tenths[-1][1], 1),
        "seconds_to_first_row": round(tenths[0][1], 1),
        "images_a_second": [round((b[0] - a[0]) / (b[1] - a[1]), 1) for a, b in steps],
        "cpu_ms_per_image": [round(1000 * (b[2] - a[2]) / (b[0] - a[0]), 2) for a, b in steps],
        "resident_mb": [round(each[3]) for each in tenths],
        "peak_mb": round(usage.ru_maxrss / 1024),
    }


def used(process: int) -> tuple[float, float]:
    """CPU seconds and resident megabytes of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK"), int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
