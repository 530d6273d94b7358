"""The other side of `search_speed.py`: a plain `keras_tuner.Hyperband`, as Keras' guides have it.

Written as a good user would: VGG16 from `keras.applications`, frozen by `trainable = False`;
decoded images kept in memory, shuffled, augmented by `tf.data` while the network trains, and
prefetched; one compiled `fit` per phase; no needless work. Whole images go through the whole
network in every epoch of every trial, and Keras Tuner writes a checkpoint per trial.

By default every trial does the work that ours did: a promoted trial starts afresh, and the
oracle is told our scores, so that it asks for the same trials. With `resume` nothing of Keras
Tuner is changed: its own scores promote, and a promoted trial trains only the epochs that are
new to it, from its parent's best weights; the phase goes by the epoch's number in its own
rung, e.g. from 4 to 10 epochs one more of phase 1 and five of phase 2.

`search_speed.py` runs it in a process of its own: `stock.py SPEC.json RESULT.json`.
"""

import json
import math
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import tensorflow as tf

from search.options import SearchOptions
from search.space import declare, settings_of

Record = dict[str, Any]


class CrackModel(keras_tuner.HyperModel):  # type: ignore[misc]
    """VGG16 and a head; `fit` is the two-phase recipe.

    Args:
        spec: What `search_speed.py` asks for.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.spec = spec
        self.timer = EpochTimer()

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The network with the whole base frozen, compiled for phase 1."""
        size = self.spec["size"]
        base = keras.applications.VGG16(
            include_top=False, weights=self.spec["weights"], input_shape=(size, size, 3)
        )
        base.trainable = False
        image = keras.Input((size, size, 3))
        x = keras.applications.vgg16.preprocess_input(image)
        x = base(x, training=False)
        x = keras.layers.GlobalAveragePooling2D()(x)
        if hp.get("head_units"):
            x = keras.layers.Dense(hp.get("head_units"), activation="relu")(x)
        x = keras.layers.Dropout(hp.get("dropout"))(x)
        classes = keras.layers.Dense(self.spec["classes"], activation="softmax", dtype="float32")(x)
        model = keras.Model(image, classes)
        self._compile(model, keras.optimizers.Adam(hp.get("head_learning_rate")))
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
        validation_data: tf.data.Dataset,
        **options: Any,
    ) -> dict[str, float]:
        """Trains both phases; returns the best epoch's validation loss of the two."""
        depth = hp.get("unfreeze_depth")
        head_epochs = math.ceil(epochs / 2) if depth else epochs
        first = initial_epoch if self.spec["resume"] else 0
        options |= {"validation_data": validation_data, "callbacks": [*callbacks, self.timer]}
        losses: list[float] = []
        if first < head_epochs:
            self.timer.phase = 1
            history = model.fit(train, epochs=head_epochs, initial_epoch=first, **options)
            losses += history.history["val_loss"]
        if epochs > head_epochs:
            self.timer.phase = 2
            unfreeze(model.get_layer("vgg16"), depth)
            self._compile(model, keras.optimizers.RMSprop(hp.get("fine_tune_learning_rate")))
            first = max(first, head_epochs)
            history = model.fit(train, epochs=epochs, initial_epoch=first, **options)
            losses += history.history["val_loss"]
        return {"val_loss": min(losses)}

    def _compile(self, model: keras.Model, optimizer: keras.Optimizer) -> None:
        model.compile(
            optimizer,
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=self.spec["jit_compile"],
        )


def unfreeze(base: keras.Model, depth: int) -> None:
    """Makes the top `depth` convolutions trainable and no other."""
    convolutions = [x for x in base.layers if isinstance(x, keras.layers.Conv2D)]
    base.trainable = True
    for layer in convolutions[: len(convolutions) - depth]:
        layer.trainable = False


class EpochTimer(keras.callbacks.Callback):  # type: ignore[misc]
    """Seconds of every epoch of a trial, validation and checkpoint included, by phase."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = 1
        self.epochs: list[tuple[int, float]] = []
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keras Tuner's own callbacks stand before this one, so the checkpoint is written."""
        self.epochs.append((self.phase, time.perf_counter() - self._start))


class TimedHyperband(keras_tuner.Hyperband):  # type: ignore[misc]
    """Keras Tuner's Hyperband with a clock; what it does is unchanged."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.records: list[Record] = []
        super().__init__(*args, **kwargs)

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """Trains one trial and keeps what it cost."""
        timer = self.hypermodel.timer
        timer.epochs, start = [], time.perf_counter()
        results = super().run_trial(trial, *args, **kwargs)
        seconds = time.perf_counter() - start
        folder = Path(self.get_trial_dir(trial.trial_id))
        written = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        self.records.append(
            record_of(trial, self.hypermodel.spec)
            | {"trained": True, "seconds": seconds, "epoch_seconds": timer.epochs, "bytes": written}
            | {"val_loss": results[0]["val_loss"]}
        )
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
        if trial.trial_id in spec["chosen"]:
            super().run_trial(trial, *args, **kwargs)
        else:
            self.records.append(asked | {"trained": False})
        return {"val_loss": ours["score"]}


def record_of(trial: Any, spec: dict[str, Any]) -> Record:
    """What a trial is: settings, its rung, its round, and the epochs it trains anew."""
    values = trial.hyperparameters.values
    space = SearchOptions.from_json(spec["options"]).space
    skipped = values["tuner/initial_epoch"] if spec["resume"] else 0
    return {
        "trial": trial.trial_id,
        "settings": settings_of(space, values),
        "epochs": values["tuner/epochs"],
        "skipped_epochs": skipped,
        "round": values["tuner/round"],
    }


def load_images(spec: dict[str, Any]) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    """Training and validation batches: decoded once, kept in memory, augmented every epoch."""

    def read(folder: str) -> tf.data.Dataset:
        size = spec["size"]
        return keras.utils.image_dataset_from_directory(
            folder, image_size=(size, size), batch_size=None, shuffle=False, verbose=False
        )

    augment = keras.Sequential(
        [
            keras.layers.RandomFlip(dtype="float32"),
            keras.layers.RandomRotation(0.3, dtype="float32"),
        ]
    )
    train = (
        read(spec["train"])
        .cache()
        .shuffle(10_000, seed=spec["seed"])
        .batch(spec["batch_size"])
        .map(lambda x, y: (augment(x, training=True), y), num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
    validation = read(spec["validation"]).batch(spec["batch_size"]).cache()
    return train, validation.prefetch(tf.data.AUTOTUNE)


def choose_trials(trials: Sequence[Record], count: int, seed: int) -> list[str]:
    """Which trials to time: one of each depth, deepest first, then by chance.

    Of a depth, the shortest with two epochs in phase 2: the first of them traces and compiles.
    """
    order = random.Random(seed).sample(list(trials), len(trials))
    depths = sorted({t["settings"]["unfreeze_depth"] for t in trials}, reverse=True)
    first = [
        min(
            (t for t in order if t["settings"]["unfreeze_depth"] == depth),
            key=lambda t: (t["epochs"] < 4, t["epochs"]),
        )
        for depth in depths
    ]
    rest = [t for t in order if t not in first]
    return [t["trial"] for t in [*first, *rest][:count]]


def predict_seconds(
    timed: Sequence[Record], wanted: Sequence[Record], passes: dict[str, float]
) -> float:
    """What `wanted` trials would take: set-up, and per phase a first epoch and further ones.

    Args:
        timed: Trials with `seconds` and `epoch_seconds`.
        wanted: Trials with `settings` and `epochs`.
        passes: Work of an image's epoch by unfreeze depth, for depths that were not timed.
    """
    setup = statistics.mean(t["seconds"] - sum(s for _, s in t["epoch_seconds"]) for t in timed)
    first, steady = defaultdict(list), defaultdict(list)
    for t in timed:
        depth = t["settings"]["unfreeze_depth"]
        for phase in (1, 2):
            seconds = [s for number, s in t["epoch_seconds"] if number == phase]
            key = depth if phase == 2 else 0
            first[key] += seconds[:1]
            steady[key] += seconds[1:]
    per_pass = statistics.mean(s / passes[str(k)] for k, v in (steady or first).items() for s in v)
    rate = {int(k): per_pass * p for k, p in passes.items()}
    rate |= {k: statistics.mean(v) for k, v in steady.items() if v}
    extra = [statistics.mean(v) - rate[k] for k, v in first.items() if v]
    start = max(0.0, statistics.mean(extra))
    total = 0.0
    for t in wanted:
        depth, epochs = t["settings"]["unfreeze_depth"], t["epochs"]
        head_epochs = math.ceil(epochs / 2) if depth else epochs
        phases = [(0, head_epochs), (depth, epochs - head_epochs)]
        total += setup + sum(start + n * rate[key] for key, n in phases if n)
    return total


def main(spec_path: Path, result_path: Path) -> None:
    """Runs the search and writes its records."""
    spec = json.loads(spec_path.read_text())
    options = SearchOptions.from_json(spec["options"])
    keras.utils.set_random_seed(options.seed)
    if spec["precision"] != "float32":
        keras.config.set_dtype_policy(f"mixed_{spec['precision']}")
    ours = list(spec["trials"].values())
    spec["chosen"] = choose_trials(ours, spec["stock_trials"] or len(ours), options.seed)
    train, validation = load_images(spec)
    tuner = (TimedHyperband if spec["resume"] else SameTrials)(
        CrackModel(spec),
        objective="val_loss",
        max_epochs=options.max_epochs,
        factor=options.factor,
        hyperband_iterations=options.iterations,
        hyperparameters=declare(options.space),
        seed=1000 * options.seed + 1,  # as search.tuner seeds our oracle
        directory=str(spec_path.parent),
        project_name="tuner",
    )
    tuner.search(train, validation_data=validation, verbose=0)
    timed = [t for t in tuner.records if t["trained"]]
    untimed = [t for t in tuner.records if not t["trained"]]
    predicted = predict_seconds(timed, untimed, spec["passes"])
    result_path.write_text(json.dumps({"trials": tuner.records, "predicted": predicted}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
