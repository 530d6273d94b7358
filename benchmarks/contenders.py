"""The contenders, each in a process of its own on the same images, and a check of their trials."""

import argparse
import hashlib
import json
import os
import platform
import random
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from child import megabytes, run_child
from extrapolation import choose_trials, flops_of, predict_seconds
from table import Row

from concrete_study.datasets.shifts import SHIFTS
from concrete_study.datasets.splits import read_split
from concrete_study.results.environment import git_commit
from concrete_study.results.folder import StudyFolder

HERE = Path(__file__).resolve().parent
OPTIONS = ("images", "precision", "size", "batch_size", "max_epochs", "factor", "views", "seed")


def compare(args: argparse.Namespace) -> Iterator[Row]:
    """Runs the chosen contenders on one subset at one precision."""
    shared = {name: getattr(args, name) for name in OPTIONS}
    shared |= {"command": shlex.join(sys.argv), "commit": git_commit(), "cpu": cpu_name()}
    run = {
        "ours": run_ours,
        "ours-again": run_again,
        "lower-bound": run_bound,
        "baseline": run_baseline,
        "ray-tune": run_ray_tune,
    }
    with TemporaryDirectory(prefix="search-speed-") as name:
        folder = Path(name)
        link_images(args.data, folder / "images", args.images, args.seed)
        for contender in args.contenders:
            yield shared | run[contender](args, folder)


def cpu_name() -> str:
    """The CPU's name and the number of cores that this process may use."""
    names = Path("/proc/cpuinfo").read_text().partition("model name\t: ")[2].splitlines()
    return f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def link_images(source: Path, folder: Path, count: int, seed: int) -> None:
    """Links a seeded subset of `count` images, equally many of each class."""
    classes = sorted(path for path in source.iterdir() if path.is_dir())
    for index, label in enumerate(classes):
        part = count // len(classes) + (index < count % len(classes))
        (folder / label.name).mkdir(parents=True)
        for file in random.Random(seed).sample(sorted(label.iterdir()), part):
            (folder / label.name / file.name).symlink_to(file.resolve())


def study_in(folder: Path, name: str = "ours") -> StudyFolder:
    """The study of one of our contenders."""
    return StudyFolder(folder / "runs" / name)


def trials_of(study: StudyFolder) -> list[Row]:
    """The records of a study's trials as JSON has them, in their order."""
    return [msgspec.to_builtins(record) for record in study.trials()]


def run_ours(args: argparse.Namespace, folder: Path, name: str = "ours") -> Row:
    """`study search` under a name, in the folder's `runs/` and on its cache."""
    options = ["--data", "images", "--name", name, "--seed", args.seed, "--views", args.views]
    options += ["--max-epochs", args.max_epochs, "--factor", args.factor]
    options += ["--image-size", args.size, "--batch-size", args.batch_size]
    options += ["--precision", "auto" if args.precision == "default" else args.precision]
    # Plain Keras Tuner has no shifts; the shifted images are computed all the same.
    options += ["--objective", "val_loss", "--folds", args.folds]
    options += ["--space", args.space] if args.space else []
    before = megabytes(folder / "cache")
    command = [sys.executable, "-m", "concrete_study", "search", *map(str, options)]
    row, study = run_child(command, folder, name), study_in(folder, name)
    manifest, trials = study.manifest(), trials_of(study)
    images, features = manifest.images, manifest.features
    features_mb = megabytes(folder / "cache") - before
    views, once = features.views, 1 + len(SHIFTS)
    rows = images["train"] * views + images["validation"] * once
    if args.folds:  # every image trains, and validates
        rows = (images["train"] + images["validation"]) * (views + once)
    forward_passes = rows * (features_mb > 0)
    return row | {
        "computed_in": manifest.precision,
        "study_mb": megabytes(study.path),
        "features_mb": features_mb,
        "forward_passes": forward_passes,
        "flops": None
        if args.folds
        else forward_passes + flops_of(trials, images, features.feature_layers),
        "first_trial_seconds": first_trial(study) - row["began"],
        **summary(trials, [trial["score"] for trial in trials], row["seconds"]),
    }


def first_trial(study: StudyFolder) -> float:
    """When a study's first trial started, in seconds of the epoch."""
    record = study.trials()[0]
    return (study.trials_path / f"{record.trial}.json").stat().st_mtime - record.seconds


def run_again(args: argparse.Namespace, folder: Path) -> Row:
    """`run_ours` again, on the features of the first."""
    row = run_ours(args, folder, "ours-again")
    check_equal(trials_of(study_in(folder)), trials_of(study_in(folder, "ours-again")))
    return row


def run_bound(args: argparse.Namespace, folder: Path) -> Row:
    """`lower_bound.py` on our first study; its seconds are those of the bare loops only."""
    command = [sys.executable, str(HERE / "lower_bound.py"), str(folder)]
    row = run_child(command, folder, "lower-bound")
    bound: Row = json.loads((folder / "bound.json").read_text())
    return row | bound


def run_baseline(args: argparse.Namespace, folder: Path) -> Row:
    """`baseline.py` on the images and the split of our first study."""
    study = study_in(folder)
    manifest, trials = study.manifest(), trials_of(study)
    for image in read_split(study.split_path):
        link = folder / image.subset / image.file
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((folder / "images" / image.file).resolve())
    spec = {
        "classes": len(manifest.classes),
        "options": msgspec.to_builtins(manifest.options),
        "precision": "float32" if args.precision == "default" else args.precision,
        "resume": args.baseline_resume,
        "trials": {trial["trial"]: trial for trial in trials},
        "chosen": choose_trials(trials, args.baseline_trials or len(trials), args.seed),
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    row = run_child([sys.executable, str(HERE / "baseline.py"), str(folder)], folder, "baseline")
    results = json.loads((folder / "result.json").read_text())
    check_equal(trials, results, resumed=args.baseline_resume)
    figures = baseline_figures(row, results, manifest.images, megabytes(folder / "tuner"))
    figures |= {"computed_in": spec["precision"], "executions": max(1, args.folds)}
    # With `executions_per_trial` Keras Tuner trains a trial as often, and nothing else differs.
    figures["extrapolated"] |= args.folds > 1
    figures |= {name: figures[name] * figures["executions"] for name in ("seconds", "cpu_seconds")}
    return row | figures


def run_ray_tune(args: argparse.Namespace, folder: Path) -> Row:
    """`ray_tune.py` on the baseline's trials and images, one trial per core at a time.

    Its processes are Ray's, so that time is what the trials report; seconds are divided by the
    cores, as if none were ever idle.
    """
    row = run_child([sys.executable, str(HERE / "ray_tune.py"), str(folder)], folder, "ray-tune")
    trials = json.loads((folder / "ray-tune.json").read_text())
    trained = [trial for trial in trials if trial["trained"]]
    used = {
        "seconds": sum(trial["seconds"] for trial in trained),
        "cpu_seconds": sum(trial["process_cpu_seconds"] for trial in trained),
    }
    images = study_in(folder).manifest().images
    figures = baseline_figures(row | used, trials, images, 0.0)
    figures["seconds"] /= len(os.sched_getaffinity(0))
    unknown = ("peak_mb", "study_mb", "disk_write_mb", "resumed_seconds", "outside_trials_seconds")
    precision = json.loads((folder / "spec.json").read_text())["precision"]
    return row | figures | dict.fromkeys(unknown) | {"computed_in": precision}


def baseline_figures(
    row: Row, trials: Sequence[Row], images: dict[str, int], tuner_mb: float
) -> Row:
    """The baseline's figures; those of trials that were not trained are extrapolated."""
    trained = [trial for trial in trials if trial["trained"]]
    rest = [trial for trial in trials if not trial["trained"]]
    scale = 1 + predict_seconds(trained, rest, images) / row["seconds"]
    skipped = sum(
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
        "forward_passes": epochs * (images["train"] + images["validation"]),
        "flops": flops_of(trials, images),
        **summary(trials, [trial.get("val_loss") for trial in trials], row["seconds"]),
        "trained_trials": len(trained),
        "extrapolated": bool(rest),
        "measured_seconds": row["seconds"],
        # Without the epochs Keras Tuner would skip; unknown if some trials were not trained.
        "resumed_seconds": None if rest else row["seconds"] - skipped,
    }


def summary(trials: Sequence[Row], losses: Sequence[float | None], seconds: float) -> Row:
    """Counts of trials and epochs, the top rung's best loss, and time outside the trials."""
    top = max(trial["epochs"] for trial in trials)
    finals = [x for t, x in zip(trials, losses, strict=True) if t["epochs"] == top and x]
    return {
        "trials": len(trials),
        # Equal where hyperparameters and epochs of all trials are.
        "trials_sha256": hashlib.sha256("".join(trial_keys(trials)).encode()).hexdigest(),
        "epochs": sum(trial["epochs"] - trial.get("skipped", 0) for trial in trials),
        "best_val_loss": min(finals, default=None),
        "outside_trials_seconds": seconds - sum(trial.get("seconds", 0) for trial in trials),
    }


def trial_keys(trials: Sequence[Row]) -> list[str]:
    """Hyperparameters and epochs of each trial, sorted, to compare two searches."""
    return sorted(json.dumps([t["hyperparameters"], t["epochs"]], sort_keys=True) for t in trials)


def check_equal(ours: Sequence[Row], baseline: Sequence[Row], *, resumed: bool = False) -> None:
    """Ends the program unless both ran the same trials; of resumed ones, the first rounds."""
    expected, received = (
        trial_keys([row for row in rows if not (resumed and row["round"])])
        for rows in (ours, baseline)
    )
    if expected != received or len(ours) != len(baseline):
        raise SystemExit(f"Expected the trials {expected}. Received: {received}")
