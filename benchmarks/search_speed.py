"""A whole Hyperband study, ours beside stock Keras Tuner's, on real images. Linux only.

    python benchmarks/search_speed.py --images 100 --precision float32 bfloat16 --lower-bound
    python benchmarks/search_speed.py --images 400 --stock-trials 6 --output rows.jsonl
    python benchmarks/search_speed.py --smoke --lower-bound  # 24 images of 32 pixels, a minute

A JSON line per contender as it ends, then tables, ratios first. Expected at 400 images on two
cores: stock / ours at least 20 each in its default and 10 both at float32, ours / lower bound
at most 1.3.

Equal, and checked: images, split, batch size, settings and epochs of all trials. For that,
stock's promoted trials start afresh as ours do (144 epochs, not 120) and its oracle is told our
scores; `--stock-resume` leaves Keras Tuner as it is, with equal first rounds only. Not equal:
ours cycles through 5 stored float16 views where stock augments afresh; weights, order and dropout
are drawn otherwise; in its default stock computes in float32, ours in what suits the processor.
With `--stock-trials` the rest of stock is extrapolated, and said to be. More: README.md here.
"""

import argparse
import hashlib
import json
import math
import os
import platform
import random
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from search.environment import git_commit

HERE = Path(__file__).resolve().parent
BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # models.base, but without Keras
DEFAULTS = {"size": 224, "batch_size": 32, "max_epochs": 10, "factor": 3, "views": 5, "seed": 1}
Row = dict[str, Any]


def phase_epochs(depth: int, epochs: int, skipped: int = 0) -> tuple[int, int]:
    """Epochs of phase 1 and phase 2 in a rung of `epochs`, of which the first are `skipped`."""
    head = math.ceil(epochs / 2) if depth else epochs
    return max(0, head - skipped), epochs - max(head, skipped)


def convolution_shares() -> list[float]:
    """Each convolution's part of the multiplications of one forward pass, from the bottom up."""
    costs, channels = [], 3
    for block, (count, filters) in enumerate(BLOCKS):
        for _ in range(count):
            costs.append(channels * filters / 4**block)
            channels = filters
    return [cost / sum(costs) for cost in costs]


def epoch_work(depth: int, images: dict[str, int], cached: Sequence[str] = ()) -> float:
    """Forward passes through the base that an epoch costs, gradients counted as their like.

    Args:
        depth: Unfreeze depth in phase 2; 0 for phase 1.
        images: Number of train and validation images.
        cached: The cuts where features are stored; none for stock.
    """
    shares, lowest = convolution_shares(), 13 - depth
    starts = [0, 2, 4, 7, 10, 13]  # the first convolution of each block, and the end
    block = max(number for number, start in enumerate(starts) if start <= lowest)
    cut = "pooled" if not depth else f"block{block}_pool"
    forward = sum(shares[starts[block] :]) if cut in cached else 1.0
    # Of every unfrozen kernel, and of the input of each but the lowest.
    gradients = sum(shares[lowest:]) + sum(shares[lowest + 1 :])
    return forward * (images["train"] + images["validation"]) + gradients * images["train"]


def work_of(trials: Sequence[Row], images: dict[str, int], cached: Sequence[str] = ()) -> float:
    """`epoch_work` of all epochs of all trials."""
    total = 0.0
    for trial in trials:
        depth = trial["settings"]["unfreeze_depth"]
        head, fine_tune = phase_epochs(depth, trial["epochs"], trial.get("skipped", 0))
        total += head * epoch_work(0, images, cached)
        total += fine_tune * epoch_work(depth, images, cached)
    return total


def link_images(source: Path, folder: Path, count: int, seed: int) -> None:
    """Links a seeded subset of `count` images, equally many of each class."""
    classes = sorted(path for path in source.iterdir() if path.is_dir())
    for place, label in enumerate(classes):
        part = count // len(classes) + (place < count % len(classes))
        (folder / label.name).mkdir(parents=True)
        for file in random.Random(seed).sample(sorted(label.iterdir()), part):
            (folder / label.name / file.name).symlink_to(file.resolve())


def run_child(command: Sequence[str], folder: Path, name: str) -> Row:
    """Runs a command in `folder`, its cache there, its output in a log; returns what it used."""
    log = folder / f"{name}.log"
    cache = {"STUDY_CACHE_DIR": str(folder / "cache"), "TF_CPP_MIN_LOG_LEVEL": "2"}
    start = time.monotonic()
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
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
        "disk_write_mb": int(written.split()[0]) / 1e6,
    }


def trials_of(study: Path) -> list[Row]:
    """The records of a study's trials, in their order."""
    return [json.loads(path.read_text()) for path in sorted((study / "trials").glob("*.json"))]


def megabytes(folder: Path) -> float:
    """What the files below a folder hold."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def run_ours(args: argparse.Namespace, folder: Path, name: str) -> Row:
    """`study search` under a name, in the folder's `runs/` and on its cache."""
    options = ["--data", "images", "--name", name, "--seed", args.seed, "--views", args.views]
    options += ["--max-epochs", args.max_epochs, "--factor", args.factor]
    options += ["--image-size", args.size, "--batch-size", args.batch_size]
    options += ["--precision", "auto" if args.precision == "default" else args.precision]
    options += ["--space", args.space] if args.space else []
    before = megabytes(folder / "cache")
    command = [sys.executable, "-m", "study", "search", *map(str, options)]
    row, study = run_child(command, folder, name), folder / "runs" / name
    manifest, trials = json.loads((study / "study.json").read_text()), trials_of(study)
    images, features = manifest["images"], manifest["features"]
    features_mb = megabytes(folder / "cache") - before
    passes = (images["train"] * features["views"] + images["validation"]) * (features_mb > 0)
    return row | {
        "computed_in": manifest["precision"],
        "study_mb": megabytes(study),
        "features_mb": features_mb,
        "passes": passes,
        "work": passes + work_of(trials, images, features["cuts"]),
        **summary(trials, [trial["score"] for trial in trials], row["seconds"]),
    }


def summary(trials: Sequence[Row], losses: Sequence[float | None], seconds: float) -> Row:
    """Counts of trials and epochs, the top rung's best loss, and time outside the trials."""
    top = max(trial["epochs"] for trial in trials)
    finals = [x for t, x in zip(trials, losses, strict=True) if t["epochs"] == top and x]
    return {
        "trials": len(trials),
        # Equal where settings and epochs of all trials are.
        "trials_sha256": hashlib.sha256("".join(work_items(trials)).encode()).hexdigest(),
        "epochs": sum(trial["epochs"] - trial.get("skipped", 0) for trial in trials),
        "best_val_loss": min(finals, default=None),
        "outside_trials_seconds": seconds - sum(trial.get("seconds", 0) for trial in trials),
    }


def run_stock(args: argparse.Namespace, folder: Path) -> Row:
    """`stock.py` on the images and the split of our first study, and what it would all take."""
    study = folder / "runs" / "ours"
    manifest, trials = json.loads((study / "study.json").read_text()), trials_of(study)
    for line in (study / "split.csv").read_text().splitlines()[1:]:
        file, _, subset, *_ = line.split(",")
        link = folder / subset / file
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((folder / "images" / file).resolve())
    images, default = manifest["images"], args.precision == "default"
    spec = {
        name: getattr(args, name) for name in ("size", "batch_size", "seed", "stock_trials")
    } | {
        "train": str(folder / "train"),
        "validation": str(folder / "validation"),
        "classes": len(manifest["classes"]),
        "weights": str(HERE.parent / "models/weights/vgg16_imagenet_notop.weights.h5"),
        "options": manifest["options"],
        "precision": "float32" if default else args.precision,
        "resume": args.stock_resume,
        "trials": {trial["trial"]: trial for trial in trials},
        "work": {depth: epoch_work(depth, images) for depth in range(14)},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    command = [sys.executable, str(HERE / "stock.py"), "spec.json", "result.json"]
    row = run_child(command, folder, "stock")
    result = json.loads((folder / "result.json").read_text())
    check_equal(trials, result["trials"], resumed=args.stock_resume)
    return (
        row
        | stock_row(row, result, images, megabytes(folder / "tuner"))
        | {"computed_in": spec["precision"]}
    )


def stock_row(row: Row, result: Row, images: dict[str, int], tuner_mb: float) -> Row:
    """Stock's figures; those of trials that were not trained are worked out from the others."""
    trials, predicted = result["trials"], result["predicted_seconds"]
    trained = [trial for trial in trials if trial["trained"]]
    scale = 1 + predicted / row["seconds"]
    spared = sum(
        seconds
        for t in trained
        for _, seconds in t["epoch_seconds"][: t["skippable"] - t["skipped"]]
    )
    epochs = sum(trial["epochs"] - trial["skipped"] for trial in trials)
    return {
        "seconds": row["seconds"] * scale,
        "cpu_seconds": row["cpu_seconds"] * scale,
        "study_mb": tuner_mb * len(trials) / len(trained),
        "disk_write_mb": row["disk_write_mb"] * len(trials) / len(trained),
        "features_mb": 0.0,
        "passes": epochs * (images["train"] + images["validation"]),
        "work": work_of(trials, images),
        **summary(trials, [trial.get("val_loss") for trial in trials], row["seconds"]),
        "trained_trials": len(trained),
        "extrapolated": len(trained) < len(trials),
        "measured_seconds": row["seconds"],
        # Without the epochs Keras Tuner would skip; unknown if some trials were not trained.
        "resumed_seconds": row["seconds"] - spared if len(trained) == len(trials) else None,
    }


def work_items(trials: Sequence[Row]) -> list[str]:
    """Settings and epochs of each trial, sorted, to compare two searches by."""
    return sorted(json.dumps([t["settings"], t["epochs"]], sort_keys=True) for t in trials)


def check_equal(ours: Sequence[Row], stock: Sequence[Row], *, resumed: bool = False) -> None:
    """Ends the program unless both ran the same trials; of resumed ones, the first rounds."""
    expected, received = (
        work_items([row for row in rows if not (resumed and row["round"])])
        for rows in (ours, stock)
    )
    if expected != received or len(ours) != len(stock):
        raise SystemExit(f"Expected the trials {expected}. Received: {received}")


def run_lower_bound(folder: Path) -> Row:
    """Bare passes and bare steps of our first study, in a process of their own."""
    row = run_child([sys.executable, __file__, "--bare", str(folder)], folder, "lower-bound")
    bound: Row = json.loads((folder / "bound.json").read_text())
    return row | bound


def time_bare_loops(folder: Path) -> None:
    """Passes of all views, then all steps of all trials, on arrays in memory, warmed up."""
    from models.base import load_weights
    from models.learner import Network
    from models.precision import choose_precision
    from results.folder import StudyFolder
    from search.data import reopen_data
    from search.options import SearchOptions

    study = StudyFolder(folder / "runs" / "ours")
    manifest = study.manifest()
    options = SearchOptions.from_json(manifest["options"])
    data = reopen_data(study, Path(manifest["data"]), manifest["classes"])
    network = Network(
        load_weights(options.weights, seed=options.seed),
        size=options.image_size,
        classes=len(manifest["classes"]),
        precision=choose_precision(manifest["precision"]),
    )
    plan, sources, pass_seconds = manifest["features"], {}, 0.0
    for name, views in (("train", plan["views"]), ("validation", 1)):
        subset = data.subset(name)
        features, seconds = bare_passes(network, subset, tuple(plan["cuts"]), views)
        sources[name] = features, subset.labels
        pass_seconds += seconds
    trials = trials_of(study.path)
    step_seconds = sum(bare_trial(network, trial, sources, options.batch_size) for trial in trials)
    bound = {"pass_seconds": pass_seconds, "step_seconds": step_seconds}
    bound["seconds"] = pass_seconds + step_seconds
    (folder / "bound.json").write_text(json.dumps(bound))


def bare_passes(network: Any, subset: Any, cuts: tuple[str, ...], views: int) -> tuple[Row, float]:
    """Features of decoded images in memory at each cut, and the seconds of all views' passes."""
    import numpy as np

    from datasets.batches import image_batches

    batches = [images for images, _ in image_batches(subset, size=network.size, batch_size=32)]
    lower = network.lower(cuts)
    lower(batches[0])
    start = time.perf_counter()
    for _ in range(views):
        outputs = [lower(images) for images in batches]
    seconds = time.perf_counter() - start
    arrays = [np.concatenate(column).astype(np.float16) for column in zip(*outputs, strict=True)]
    return dict(zip(cuts, arrays, strict=True)), seconds


def bare_trial(network: Any, trial: Row, sources: Row, size: int) -> float:
    """Seconds of a trial's training and validation steps, nothing else."""
    from models.recipe import plan_phases
    from search.space import configuration_of

    configuration, seconds = configuration_of(trial["settings"]), 0.0
    network.restore()
    network.learner(configuration.head_units, 0).head.start(1)
    for phase in plan_phases(configuration, trial["epochs"]):
        learner = network.learner(configuration.head_units, phase.unfreeze_depth)
        learner.start(phase.learning_rate)
        (train, labels), (validation, _) = (
            (features[learner.cut], y) for features, y in sources.values()
        )
        # Untimed, as the first batch of a structure traces.
        bare_epoch(learner, train[:size], labels[:size], validation[:size], size)
        start = time.perf_counter()
        for _ in range(phase.epochs):
            bare_epoch(learner, train, labels, validation, size)
        seconds += time.perf_counter() - start
    return seconds


def bare_epoch(learner: Any, train: Any, labels: Any, validation: Any, size: int) -> None:
    """Steps through the training rows and predicts the validation rows."""
    for start in range(0, len(train), size):
        rows = slice(start, start + size)
        learner.step(train[rows], labels[rows], dropout=0.3, seed=1, step=start)
    for start in range(0, len(validation), size):
        learner.predict(validation[start : start + size])


def compare(args: argparse.Namespace) -> Iterator[Row]:
    """Runs every contender on one subset at one precision."""
    shared = {name: getattr(args, name) for name in ("images", "precision", "size", "batch_size")}
    shared |= {name: getattr(args, name) for name in ("max_epochs", "factor", "views", "seed")}
    shared |= {"command": shlex.join(sys.argv), "commit": git_commit(), "processor": processor()}
    with TemporaryDirectory(prefix="search-speed-") as name:
        folder = Path(name)
        link_images(args.data, folder / "images", args.images, args.seed)
        for study in ("ours", "ours-again"):
            yield shared | run_ours(args, folder, study)
        check_equal(trials_of(folder / "runs/ours"), trials_of(folder / "runs/ours-again"))
        if args.lower_bound:
            yield shared | run_lower_bound(folder)
        if not args.without_stock:
            yield shared | run_stock(args, folder)


def processor() -> str:
    """The processor's name and how many of it this process may use."""
    names = Path("/proc/cpuinfo").read_text().partition("model name\t: ")[2].splitlines()
    return f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def ratios(rows: Sequence[Row]) -> Row:
    """One comparison's ratios; None where a contender did not run."""
    by_name = {row["contender"]: row for row in rows}
    ours, again = by_name["ours"], by_name["ours-again"]
    stock, bound = by_name.get("stock", {}), by_name.get("lower-bound", {})

    def ratio(upper: float | None, lower: float | None) -> float | None:
        return upper / lower if upper and lower else None

    return {
        "images": ours["images"],
        "precision": ours["precision"],
        "stock / ours": ratio(stock.get("seconds"), ours["seconds"]),
        "stock / ours-again": ratio(stock.get("seconds"), again["seconds"]),
        "stock, resumed / ours": ratio(stock.get("resumed_seconds"), ours["seconds"]),
        "ours / lower-bound": ratio(ours["seconds"], bound.get("seconds")),
        "stock / ours, CPU": ratio(stock.get("cpu_seconds"), ours["cpu_seconds"]),
        "stock / ours, work": ratio(stock.get("work"), ours["work"]),
        "stock / ours, study MB": ratio(stock.get("study_mb"), ours["study_mb"]),
        "note": note(stock),
    }


def note(row: Row) -> str:
    """Says what is not measured."""
    if not row.get("extrapolated"):
        return ""
    return f"stock extrapolated from {row['trained_trials']} of {row['trials']} trials"


def table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Rows in Markdown; three digits, or whole numbers from 100 on."""

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
        return "" if value is None else str(value)

    lines = [columns, ["---"] * len(columns)]
    lines += [[cell(row.get(column)) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


COLUMNS = (
    *("images", "precision", "contender", "computed_in", "seconds", "cpu_seconds", "peak_mb"),
    *("study_mb", "features_mb", "disk_write_mb", "passes", "work", "trials", "epochs"),
    *("best_val_loss", "outside_trials_seconds", "note"),
)


def parse_arguments() -> argparse.Namespace:
    """The options; `--smoke` overrides those of size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[100])
    precisions = ("float32", "bfloat16", "default")
    parser.add_argument("--precision", nargs="+", choices=precisions, default=["default"])
    data = HERE.parent.parent / "shared/data/metu-4000"
    parser.add_argument("--data", type=Path, default=data, help="class folders of real images")
    parser.add_argument("--space", type=Path, help="TOML file, as study search takes it")
    for name, default in DEFAULTS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--stock-trials", type=int, help="train so many; extrapolate the rest")
    parser.add_argument("--stock-resume", action="store_true", help="Keras Tuner unchanged")
    parser.add_argument("--without-stock", action="store_true")
    parser.add_argument("--lower-bound", action="store_true", help="time the bare loops too")
    parser.add_argument("--smoke", action="store_true", help="24 images, 32 pixels, 3 epochs")
    parser.add_argument("--output", type=Path, help="append the JSON lines here, not to stdout")
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.stock_resume and args.stock_trials:
        parser.error("--stock-resume needs every parent trained: leave out --stock-trials")
    if args.smoke:
        args.images, args.size, args.max_epochs, args.views = [24], 32, 3, 2
    args.space = args.space and args.space.resolve()
    return args


def main() -> None:
    """Every size at every precision, and the tables."""
    args = parse_arguments()
    if args.bare:
        return time_bare_loops(args.bare)
    compared, measured = [], []
    for images, precision in product(args.images, args.precision):
        case = argparse.Namespace(**vars(args) | {"images": images, "precision": precision})
        rows = []
        for row in compare(case):
            rows.append(row)
            with args.output.open("a") if args.output else nullcontext(sys.stdout) as output:
                print(json.dumps(row), file=output, flush=True)
        compared.append(ratios(rows))
        measured += [row | {"note": note(row)} for row in rows]
    print(table(compared, list(compared[0])), table(measured, COLUMNS), sep="\n\n")
    return None


if __name__ == "__main__":
    main()
