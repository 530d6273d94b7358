"""The baseline's trials on Ray Tune: whole networks on images, one trial per core at a time.

Needs `pip install "ray[tune]"`. Ray Tune's scheduler would stop other trials than Keras Tuner's
oracle, so it runs the chosen trials of `spec.json` for all their epochs, and nothing is resumed.

`search_speed.py` runs it in a process of its own, after the baseline: `ray_tune.py FOLDER`.
"""

import json
import os
import sys
import time
from pathlib import Path

import ray
from ray import tune
from table import Row

IDENTITY = ("trial", "hyperparameters", "epochs", "round")


def run_trial(config: Row) -> Row:
    """Trains one trial on one core, in a process of Ray; its row, as in the baseline's result."""
    import keras
    import keras_tuner
    import msgspec
    from baseline import TimedModel, load_images

    from concrete_study.models.devices import set_threads
    from concrete_study.results.records import SearchOptions

    set_threads(1)
    began, start = time.process_time(), time.perf_counter()
    spec, trial = config["spec"], config["trial"]
    options = msgspec.convert(spec["options"], SearchOptions)
    keras.utils.set_random_seed(options.seed)
    train, validation = load_images(Path(config["folder"]), options)
    model = TimedModel(spec, options)
    values = keras_tuner.HyperParameters()
    for name, value in trial["hyperparameters"].items():
        values.Fixed(name, value)
    history = model.fit(
        values,
        model.build(values),
        train,
        validation_data=validation,
        epochs=trial["epochs"],
        verbose=0,
    )
    measured = {
        "trained": True,
        "val_loss": min(history.history["val_loss"]),
        "seconds": time.perf_counter() - start,
        "epoch_seconds": [list(pair) for pair in model.timer.epochs],
        "process_cpu_seconds": time.process_time() - began,
    }
    return {"row": identity(trial) | measured}


def identity(trial: Row) -> Row:
    """What a trial is, without our results of it."""
    return {key: trial[key] for key in IDENTITY} | {
        "trained": False,
        "skippable": 0,
        "skipped": 0,
    }


def main(folder: Path) -> None:
    """Runs the chosen trials and writes all records, those of the others without times."""
    spec = json.loads((folder / "spec.json").read_text())
    chosen = [spec["trials"][name] for name in spec["chosen"]]
    cores = len(os.sched_getaffinity(0))
    os.environ.setdefault("RAY_worker_niceness", "0")  # the priority of the other contenders
    ray.init(address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False)
    tuner = tune.Tuner(
        tune.with_resources(run_trial, {"cpu": 1}),
        param_space={
            "spec": spec,
            "folder": str(folder),
            "trial": tune.grid_search(chosen),
        },
        run_config=tune.RunConfig(storage_path=str(folder / "ray-tune"), verbose=0),
    )
    results = tuner.fit()
    if results.errors:
        raise results.errors[0]
    finished = [(results[index].metrics or {})["row"] for index in range(len(results))]
    trained = {row["trial"]: row for row in finished}
    rows = [trained.get(name, identity(trial)) for name, trial in spec["trials"].items()]
    (folder / "ray-tune.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
