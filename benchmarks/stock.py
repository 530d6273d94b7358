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

`search_speed.py` runs it in a process of its own: `stock.py FOLDER`, which holds `spec.json`,
`train/` and `validation/`; the trials' records go to `result.json` there.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import msgspec
import tensorflow as tf
from table import Row

from concrete_study.models.backbone import BUNDLED
from concrete_study.models.network import set_trainable
from concrete_study.models.recipe import plan_phases
from concrete_study.results.records import SearchOptions
from concrete_study.search.space import configuration_of
from concrete_study.search.tuner import declare, hyperparameters_of


class CrackModel(keras_tuner.HyperModel):  # type: ignore[misc]
    """VGG16 and a head; `fit` is the two-phase recipe."""

    def __init__(self, spec: Row, options: SearchOptions) -> None:
        super().__init__()
        self.spec = spec
        self.options = options
        self.timer = EpochTimer()

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The network with the whole base frozen, compiled for phase 1."""
        shape = (self.options.image_size, self.options.image_size, 3)
        base = keras.applications.VGG16(include_top=False, weights=str(BUNDLED), input_shape=shape)
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
        done, end = initial_epoch if self.spec["resume"] else 0, 0
        configuration = configuration_of(hyperparameters_of(self.options.space, hp.values))
        options["callbacks"] = [*callbacks, self.timer]
        losses: list[float] = []
        for phase in plan_phases(configuration, epochs):
            end += phase.epochs
            if done >= end:
                continue
            self.timer.phase = phase.number
            if phase.number == 2:
                unfreeze(model.get_layer("vgg16"), phase.unfreeze_depth)
                compile_model(model, keras.optimizers.RMSprop(phase.learning_rate))
            history = model.fit(train, epochs=end, initial_epoch=done, **options)
            losses += history.history["val_loss"]
            done = end
        return {"val_loss": min(losses)}

    def record(self, trial: Any) -> Row:
        """What a trial is; its parent's epochs can be skipped, and with `resume` are."""
        values = trial.hyperparameters.values
        return {
            "trial": trial.trial_id,
            "hyperparameters": hyperparameters_of(self.options.space, values),
            "epochs": values["tuner/epochs"],
            "skippable": values["tuner/initial_epoch"],
            "skipped": values["tuner/initial_epoch"] if self.spec["resume"] else 0,
            "round": values["tuner/round"],
        }


def compile_model(model: keras.Model, optimizer: keras.Optimizer) -> None:
    """Compiles for integer labels."""
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])


def unfreeze(base: keras.Model, depth: int) -> None:
    """Makes the top `depth` convolutions trainable and no other."""
    base.trainable = True
    set_trainable(base, depth)


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
        self.records: list[Row] = []
        super().__init__(model, **options)

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """Trains one trial and keeps what it cost."""
        model = self.hypermodel
        model.timer.epochs, start = [], time.perf_counter()
        results = super().run_trial(trial, *args, **kwargs)
        seconds = time.perf_counter() - start
        measured = {
            "trained": True,
            "seconds": seconds,
            "epoch_seconds": model.timer.epochs,
            "val_loss": results[0]["val_loss"],
        }
        self.records.append(model.record(trial) | measured)
        return results


class SameTrials(TimedHyperband):
    """Hyperband that starts every trial afresh and is told our scores of the same trials."""

    def _build_hypermodel(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        return keras_tuner.Tuner._build_hypermodel(self, hp)  # without the parent's weights

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """Trains the trial if it is one of the chosen; answers our score in any case."""
        model, spec = self.hypermodel, self.hypermodel.spec
        asked, ours = model.record(trial), spec["trials"].get(trial.trial_id)
        if ours is None or any(asked[key] != ours[key] for key in ("hyperparameters", "epochs")):
            raise keras_tuner.errors.FatalError(f"Expected our trial {ours}. Received: {asked}")
        if ours["status"] == "failed":
            raise keras_tuner.errors.FailedTrialError("as ours")
        if trial.trial_id in spec["chosen"]:
            super().run_trial(trial, *args, **kwargs)
        else:
            self.records.append(asked | {"trained": False})
        return {"val_loss": ours["score"]}


def load_images(folder: Path, options: SearchOptions) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    """Training and validation batches, decoded once."""
    size = (options.image_size, options.image_size)
    train, validation = (
        keras.utils.image_dataset_from_directory(
            folder / subset, image_size=size, batch_size=None, shuffle=False, verbose=False
        ).cache()
        for subset in ("train", "validation")
    )
    train = train.shuffle(10_000, seed=options.seed).batch(options.batch_size)
    validation = validation.batch(options.batch_size)
    return train.prefetch(tf.data.AUTOTUNE), validation.prefetch(tf.data.AUTOTUNE)


def main(folder: Path) -> None:
    """Runs the search and writes its records."""
    spec = json.loads((folder / "spec.json").read_text())
    options = msgspec.convert(spec["options"], SearchOptions)
    keras.utils.set_random_seed(options.seed)
    if spec["precision"] != "float32":
        keras.config.set_dtype_policy(f"mixed_{spec['precision']}")
    train, validation = load_images(folder, options)
    tuner = (TimedHyperband if spec["resume"] else SameTrials)(
        CrackModel(spec, options),
        objective="val_loss",
        max_epochs=options.max_epochs,
        factor=options.factor,
        hyperparameters=declare(options.space),
        seed=1000 * options.seed + 1,  # as search.tuner seeds our oracle
        directory=str(folder),
        project_name="tuner",
    )
    tuner.search(train, validation_data=validation, verbose=0)
    (folder / "result.json").write_text(json.dumps(tuner.records))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
