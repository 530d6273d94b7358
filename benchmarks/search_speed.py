"""A whole Hyperband study, ours beside stock Keras Tuner's, on real images. Linux only.

    python benchmarks/search_speed.py --images 100 --precision float32 bfloat16 --lower-bound
    python benchmarks/search_speed.py --images 400 --stock-trials 6 --output rows.jsonl
    python benchmarks/search_speed.py --smoke --lower-bound  # 24 images of 32 pixels, a minute

A JSON line per contender as it ends, then tables, ratios first. Expected at 400 images on two
cores: stock / ours at least 20 each in its default and 10 both at float32, ours / lower bound
at most 1.3. What is compared, what is equal and what is not: benchmarks/README.md.
"""

import argparse
import json
import math
import os
import platform
import random
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).resolve().parent
BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # models.base, but without Keras
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
    spent = [(t["skippable"], [s for _, s in t["epoch_seconds"]]) for t in trained]
    parents = sum(sum(seconds[:skippable]) for skippable, seconds in spent)
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
        # What Keras Tuner's own resuming would save; unknown if some trials were not trained.
        "resumed_seconds": row["seconds"] - parents if len(trained) == len(trials) else None,
    }


def check_equal(ours: Sequence[Row], stock: Sequence[Row], *, resumed: bool) -> None:
    """Ends the program unless both ran the same trials; of resumed ones, the first rounds."""

    def trials(rows: Sequence[Row]) -> list[str]:
        kept = [row for row in rows if not (resumed and row["round"])]
        return sorted(json.dumps([r["settings"], r["epochs"]], sort_keys=True) for r in kept)

    if trials(ours) != trials(stock) or len(ours) != len(stock):
        raise SystemExit(f"Expected the trials {trials(ours)}. Received: {trials(stock)}")


def run_lower_bound(folder: Path) -> Row:
    """Bare passes and bare steps of our first study, in a process of their own."""
    row = run_child([sys.executable, __file__, "--bare", str(folder)], folder, "lower bound")
    return row | json.loads((folder / "bound.json").read_text())


def time_bare_loops(folder: Path) -> None:
    """Passes of all views, then all steps of all trials, on arrays in memory, warmed up."""
    import numpy as np

    from datasets.batches import image_batches
    from models.base import load_weights
    from models.learner import Network
    from models.precision import choose_precision
    from models.recipe import plan_phases
    from results.folder import StudyFolder
    from search.data import reopen_data
    from search.options import SearchOptions
    from search.space import configuration_of

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
    cuts = tuple(manifest["features"]["cuts"])
    lower = network.lower(cuts)
    pass_seconds = step_seconds = 0.0
    features: dict[str, dict[str, Any]] = {}
    subsets = {name: data.subset(name) for name in ("train", "validation")}
    for name, views in (("train", manifest["features"]["views"]), ("validation", 1)):
        batches = [x for x, _ in image_batches(subsets[name], size=network.size, batch_size=32)]
        lower(batches[0])
        for _ in range(views):
            start = time.perf_counter()
            outputs = [lower(batch) for batch in batches]
            pass_seconds += time.perf_counter() - start
        columns = zip(*outputs, strict=True)
        arrays = [np.concatenate(column).astype(np.float16) for column in columns]
        features[name] = dict(zip(cuts, arrays, strict=True))
    for trial in trials_of(study.path):
        configuration = configuration_of(trial["settings"])
        network.restore()
        network.learner(configuration.head_units, 0).head.start(options.seed)
        for phase in plan_phases(configuration, trial["epochs"]):
            learner = network.learner(configuration.head_units, phase.unfreeze_depth)
            learner.start(phase.learning_rate)
            train = features["train"][learner.cut], subsets["train"].labels
            validation = features["validation"][learner.cut]
            size = options.batch_size
            # Untimed, as it may trace; learning rate 0 would leave NaN of its own, so it trains.
            bare_epoch(learner, (train[0][:size], train[1][:size]), validation[:size], size)
            start = time.perf_counter()
            for _ in range(phase.epochs):
                bare_epoch(learner, train, validation, size)
            step_seconds += time.perf_counter() - start
    bound = {"pass_seconds": pass_seconds, "step_seconds": step_seconds}
    bound["seconds"] = pass_seconds + step_seconds
    (folder / "bound.json").write_text(json.dumps(bound))


def bare_epoch(learner: Any, train: tuple[Any, Any], validation: Any, size: int) -> None:
    """Steps through the training rows and predicts the validation rows."""
    features, labels = train
    for start in range(0, len(features), size):
        rows = slice(start, start + size)
        learner.step(features[rows], labels[rows], dropout=0.3, seed=1, step=start)
    for start in range(0, len(validation), size):
        learner.predict(validation[start : start + size])


def compare(args: argparse.Namespace, emit: Any) -> list[Row]:
    """Runs every contender on one subset at one precision."""
    shared = {"images": args.images, "precision": args.precision}
    shared |= {name: getattr(args, name) for name in ("size", "max_epochs", "factor", "seed")}
    with TemporaryDirectory(prefix="search-speed-") as name:
        folder = Path(name)
        link_images(args.data, folder / "images", args.images, args.seed)
        contenders = [lambda: run_ours(args, folder, "ours")]
        contenders += [lambda: run_ours(args, folder, "ours, second study")]
        if args.lower_bound:
            contenders.append(lambda: run_lower_bound(folder))
        if not args.without_stock:
            contenders.append(lambda: run_stock(args, folder))
        rows = []
        for contender in contenders:
            rows.append(shared | contender() | environment())
            emit(rows[-1])
    return rows
