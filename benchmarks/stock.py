"""The other side of `search_speed.py`: a plain `keras_tuner.Hyperband`, as Keras' guides have it.

Written as a good user would: VGG16 from `keras.applications`, frozen by `trainable = False`;
decoded images kept in memory, shuffled and prefetched by `tf.data`; augmentation in the model;
one compiled `fit` per phase. Keras leaves XLA off for such a model; on, a training step took
1.2 times (float32) and 2.2 times (bfloat16) the processor's time, so that is to its good.

By default every trial does the work that ours did: a promoted trial starts afresh, and the
oracle is told our scores, so that it asks for the same trials. With `resume` nothing of Keras
Tuner is changed: its own scores promote, and a promoted trial trains only the epochs that are
new to it, from its parent's best weights; the phase goes by the epoch's number in its own
rung, e.g. from 4 to 10 epochs one more of phase 1 and five of phase 2.

`search_speed.py` runs it in a process of its own: `stock.py SPEC.json RESULT.json`.
"""

import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import keras
import keras_tuner
import tensorflow as tf
from search_speed import phase_epochs

from search.options import SearchOptions
from search.space import declare, settings_of

Record = dict[str, Any]


class CrackModel(keras_tuner.HyperModel):  # type: ignore[misc]
    """VGG16 and a head; `fit` is the two-phase recipe."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.spec = spec
        self.timer = EpochTimer()

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The network with the whole base frozen, compiled for phase 1."""
        shape = (self.spec["size"], self.spec["size"], 3)
        base = keras.applications.VGG16(
            include_top=False, weights=self.spec["weights"], input_shape=shape
        )
        base.trainable = False
        image = keras.Input(shape)
        x = keras.layers.RandomFlip(dtype="float32")(image)
        x = keras.layers.RandomRotation(0.3, dtype="float32")(x)
        x = keras.applications.vgg16.preprocess_input(x)
        x = base(x, training=False)
        x = keras.layers.GlobalAveragePooling2D()(x)
        if hp.get("head_units"):
            x = keras.layers.Dense(hp.get("head_units"), activation="relu")(x)
        x = keras.layers.Dropout(hp.get("dropout"))(x)
        x = keras.layers.Dense(self.spec["classes"], activation="softmax", dtype="float32")(x)
        model = keras.Model(image, x)
        compile_model(model, keras.optimizers.Adam(hp.get("head_learning_rate")))
        return model

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        train: tf.data.Dataset,
        *,
        epochs: int,
        initial_epoch: int,
        callbacks: list[keras.callbacks.Callback],
        **options: Any,
    ) -> dict[str, float]:
        """Trains both phases; returns the best epoch's validation loss of the two."""
        first = initial_epoch if self.spec["resume"] else 0
        depth = hp.get("unfreeze_depth")
        head_epochs = sum(phase_epochs(depth, epochs)[:1])
        options["callbacks"] = [*callbacks, self.timer]
        losses: list[float] = []
        if first < head_epochs:
            self.timer.phase = 1
            history = model.fit(train, epochs=head_epochs, initial_epoch=first, **options)
            losses += history.history["val_loss"]
        if epochs > head_epochs:
            self.timer.phase = 2
            unfreeze(model.get_layer("vgg16"), depth)
            compile_model(model, keras.optimizers.RMSprop(hp.get("fine_tune_learning_rate")))
            first = max(first, head_epochs)
            history = model.fit(train, epochs=epochs, initial_epoch=first, **options)
            losses += history.history["val_loss"]
        return {"val_loss": min(losses)}


def compile_model(model: keras.Model, optimizer: keras.Optimizer) -> None:
    """Compiles for integer labels."""
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])


def unfreeze(base: keras.Model, depth: int) -> None:
    """Makes the top `depth` convolutions trainable and no other."""
    convolutions = [layer for layer in base.layers if isinstance(layer, keras.layers.Conv2D)]
    base.trainable = True
    for layer in convolutions[: len(convolutions) - depth]:
        layer.trainable = False


class EpochTimer(keras.callbacks.Callback):  # type: ignore[misc]
    """Seconds of a trial's epochs by phase, with validation and checkpoint (called before it)."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = 1
        self.epochs: list[tuple[int, float]] = []
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Reads the clock."""
        self.epochs.append((self.phase, time.perf_counter() - self._start))


class TimedHyperband(keras_tuner.Hyperband):  # type: ignore[misc]
    """Keras Tuner's Hyperband with a clock; what it does is unchanged."""

    def __init__(self, model: CrackModel, **options: Any) -> None:
        self.records: list[Record] = []
        super().__init__(model, **options)

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """Trains one trial and keeps what it cost."""
        model = self.hypermodel
        model.timer.epochs, start = [], time.perf_counter()
        results = super().run_trial(trial, *args, **kwargs)
        seconds = time.perf_counter() - start
        folder = Path(self.get_trial_dir(trial.trial_id))
        measured = {
            "trained": True,
            "seconds": seconds,
            "epoch_seconds": model.timer.epochs,
            "bytes": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
            "val_loss": results[0]["val_loss"],
        }
        self.records.append(record_of(trial, model.spec) | measured)
        return results


class SameTrials(TimedHyperband):
    """Hyperband that starts every trial afresh and is told our scores of the same trials."""

    def _build_hypermodel(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        return keras_tuner.Tuner._build_hypermodel(self, hp)  # without the parent's weights

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """Trains the trial if it is one of the chosen; answers our score in any case."""
        spec = self.hypermodel.spec
        asked, ours = record_of(trial, spec), spec["trials"].get(trial.trial_id)
        if ours is None or any(asked[key] != ours[key] for key in ("settings", "epochs")):
            raise keras_tuner.errors.FatalError(f"Expected our trial {ours}. Received: {asked}")
        if ours["status"] == "failed":
            raise keras_tuner.errors.FailedTrialError("as ours")
        if trial.trial_id in spec["chosen"]:
            super().run_trial(trial, *args, **kwargs)
        else:
            self.records.append(asked | {"trained": False})
        return {"val_loss": ours["score"]}


def record_of(trial: Any, spec: dict[str, Any]) -> Record:
    """What a trial is; its parent's epochs can be skipped, and with `resume` are."""
    values = trial.hyperparameters.values
    space = SearchOptions.from_json(spec["options"]).space
    return {
        "trial": trial.trial_id,
        "settings": settings_of(space, values),
        "epochs": values["tuner/epochs"],
        "skippable": values["tuner/initial_epoch"],
        "skipped": values["tuner/initial_epoch"] if spec["resume"] else 0,
        "round": values["tuner/round"],
    }


def load_images(spec: dict[str, Any]) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    """Training and validation batches, decoded once."""
    size = (spec["size"], spec["size"])
    train, validation = (
        keras.utils.image_dataset_from_directory(
            spec[subset], image_size=size, batch_size=None, shuffle=False, verbose=False
        ).cache()
        for subset in ("train", "validation")
    )
    train = train.shuffle(10_000, seed=spec["seed"]).batch(spec["batch_size"])
    validation = validation.batch(spec["batch_size"])
    return train.prefetch(tf.data.AUTOTUNE), validation.prefetch(tf.data.AUTOTUNE)


def choose_trials(trials: Sequence[Record], count: int, seed: int) -> list[str]:
    """Which trials to time: one of each depth, deepest first, then by chance.

    Of a depth, the shortest with two epochs in phase 2: the first of them traces.
    """
    order = random.Random(seed).sample(list(trials), len(trials))
    by_depth: dict[int, list[Record]] = defaultdict(list)
    for trial in order:
        by_depth[trial["settings"]["unfreeze_depth"]].append(trial)
    first = [
        min(by_depth[depth], key=lambda t: (t["epochs"] < 4, t["epochs"]))
        for depth in sorted(by_depth, reverse=True)
    ]
    rest = [trial for trial in order if trial not in first]
    return [trial["trial"] for trial in [*first, *rest][:count]]


def predict_seconds(
    timed: Sequence[Record], wanted: Sequence[Record], work: dict[str, float]
) -> float:
    """What `wanted` trials would take: set-up, and per phase a first epoch and further ones.

    `work` of an epoch by unfreeze depth is the measure for a depth that was not timed.
    """
    first: dict[int, list[float]] = defaultdict(list)  # by depth; 0 is phase 1
    steady: dict[int, list[float]] = defaultdict(list)
    for trial in timed:
        for phase, depth in enumerate((0, trial["settings"]["unfreeze_depth"]), start=1):
            seconds = [s for number, s in trial["epoch_seconds"] if number == phase]
            first[depth] += seconds[:1]
            steady[depth] += seconds[1:]
    known = steady if any(steady.values()) else first
    scale = mean(s / work[str(depth)] for depth, seconds in known.items() for s in seconds)
    rate = {int(depth): scale * amount for depth, amount in work.items()}
    rate |= {depth: mean(seconds) for depth, seconds in known.items() if seconds}
    start = max(0.0, mean(s - rate[depth] for depth, seconds in first.items() for s in seconds))
    total: float = len(wanted) * mean(
        t["seconds"] - sum(s for _, s in t["epoch_seconds"]) for t in timed
    )
    for trial in wanted:
        depth = trial["settings"]["unfreeze_depth"]
        head_epochs, fine_tune_epochs = phase_epochs(depth, trial["epochs"])
        total += start + head_epochs * rate[0]
        total += start + fine_tune_epochs * rate[depth] if fine_tune_epochs else 0
    return total


def main(spec_path: Path, result_path: Path) -> None:
    """Runs the search and writes its records."""
    spec = json.loads(spec_path.read_text())
    options = SearchOptions.from_json(spec["options"])
    keras.utils.set_random_seed(spec["seed"])
    if spec["precision"] != "float32":
        keras.config.set_dtype_policy(f"mixed_{spec['precision']}")
    ours = list(spec["trials"].values())
    spec["chosen"] = choose_trials(ours, spec["stock_trials"] or len(ours), spec["seed"])
    train, validation = load_images(spec)
    tuner = (TimedHyperband if spec["resume"] else SameTrials)(
        CrackModel(spec),
        objective="val_loss",
        max_epochs=options.max_epochs,
        factor=options.factor,
        hyperparameters=declare(options.space),
        seed=1000 * options.seed + 1,  # as search.tuner seeds our oracle
        directory=str(spec_path.parent),
        project_name="tuner",
    )
    tuner.search(train, validation_data=validation, verbose=0)
    timed = [t for t in tuner.records if t["trained"]]
    rest = [t for t in tuner.records if not t["trained"]]
    predicted = predict_seconds(timed, rest, spec["work"])
    result_path.write_text(json.dumps({"trials": tuner.records, "predicted_seconds": predicted}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
