"""A search on ten times the images: memory, time per image, and planned disk space. Linux only.

    python benchmarks/large_set.py --data METU --counts 4000 40000

The images, 227 pixels wide, are quarters of the photographs in METU, mixed two by two.
They are searched at 32 pixels, which keeps it short: four trials of two epochs, two views, and the
defaults of `study search`. One JSON line for each count. Expected: memory and seconds per image
alike, disk as planned.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from child import megabytes, run_child
from generated_duplicates import make_variations
from table import Row

from concrete_study.results.folder import StudyFolder

OPTIONS = [
    "--algorithm",
    "random",
    "--trials",
    "4",
    "--max-epochs",
    "2",
    "--views",
    "2",
    "--folds",
    "0",
]


def main() -> None:
    """Makes, searches and measures one folder after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=[4000, 40_000])
    parser.add_argument("--size", type=int, default=32)
    arguments = parser.parse_args()
    for count in arguments.counts:
        with TemporaryDirectory(prefix="large-set-") as name:
            print(
                json.dumps(measure(arguments.data, count, arguments.size, Path(name))), flush=True
            )


def measure(data: Path, count: int, size: int, folder: Path) -> Row:
    """Searches `count` generated images of two classes and compares with the plan."""
    for label in sorted(path for path in data.iterdir() if path.is_dir()):
        target = folder / "images" / label.name
        target.mkdir(parents=True)
        make_variations(sorted(label.iterdir()), count // 2, target, side=227)
    options = ["--data", "images", "--name", "large", "--image-size", str(size), *OPTIONS]
    row = run_child([sys.executable, "-m", "concrete_study", "search", *options], folder, "large")
    output = (folder / "large.log").read_text()
    speeds = re.findall(r"^([a-z ]+): \d+ images in .*\(([\d.]+) images/s\)", output, re.MULTILINE)
    study = StudyFolder(folder / "runs" / "large")
    trained = sum(r.epochs * study.manifest().images["train"] for r in study.trials())
    return {
        "images": count,
        "seconds": round(row["seconds"], 1),
        "cpu_ms_per_image": round(1000 * row["cpu_seconds"] / count, 2),
        "images_a_second": {what: float(speed) for what, speed in speeds},
        "trial_us_per_image": round(1e6 * sum(r.seconds for r in study.trials()) / trained, 1),
        "peak_mb": round(row["peak_mb"]),
        "features_mb": round(megabytes(folder / "cache" / "features"), 1),
        "planned_mb": round(study.manifest().features.bytes / 1e6, 1),
    }


if __name__ == "__main__":
    main()
