"""The baseline of `search_speed.py`: plain Keras Tuner, `keras_tuner.Hyperband` and a hypermodel.

Written as Keras' guides recommend: a frozen VGG16; decoded images kept in memory, shuffled and
prefetched by `tf.data`; augmentation in the model; one compiled `fit` per phase. Keras leaves XLA
off for such a model; with XLA a training step took 1.2 times (float32) and 2.2 times (bfloat16) the
CPU time, so this is in the baseline's favour.

By default every trial does the work of ours: a promoted trial starts from its initial weights, and
the oracle receives our scores, so that it proposes the same trials. With `resume` Keras Tuner is
unchanged: its own scores promote, and a promoted trial trains only the epochs that are new to it,
from its parent's best weights; the phase follows from the epoch's number in its own rung, e.g.
from 4 to 10 epochs one more of phase 1 and five of phase 2.

`search_speed.py` runs it in a process of its own: `baseline.py FOLDER`, which holds `spec.json`,
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

from concrete_study.models.hypermodel import VGG16HyperModel
from concrete_study.results.records import SearchOptions
from concrete_study.search.options import oracle_seed
from concrete_study.search.space import image_sizes
from concrete_study.search.tuner import declare, hyperparameters_of


class TimedModel(VGG16HyperModel):
    """The plain hypermodel with a clock; `resume` decides whether a parent's epochs are skipped."""

    def __init__(self, spec: Row, options: SearchOptions) -> None:
        policy = "float32" if spec["precision"] == "float32" else f"mixed_{spec['precision']}"
        super().__init__(
            image_size=max(image_sizes(options.space)), classes=spec["classes"], policy=policy
        )
        self.spec = spec
        self.options = options
        self.timer = EpochTimer()

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *args: Any,
        initial_epoch: int = 0,
        callbacks: Any = (),
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains both phases."""
        initial_epoch = initial_epoch if self.spec["resume"] else 0
        callbacks = [*callbacks, self.timer]
        hp = self._with_fixed(hp)
        return super().fit(
            hp, model, *args, initial_epoch=initial_epoch, callbacks=callbacks, **kwargs
        )

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The network with a frozen backbone, compiled for phase 1."""
        return super().build(self._with_fixed(hp))

    def _with_fixed(self, hp: keras_tuner.HyperParameters) -> keras_tuner.HyperParameters:
        """A trial's hyperparameters and those that the space fixes, which the oracle leaves out."""
        whole = hp.copy()
        for name, value in hyperparameters_of(self.options.space, hp.values).items():
            if name not in whole:
                whole.Fixed(name, value)
        return whole

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


class EpochTimer(keras.callbacks.Callback):  # type: ignore[misc]
    """Seconds of a trial's epochs by phase, with validation and checkpoint (called before it)."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[tuple[int, float]] = []
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Reads the clock."""
        phase = 1 if isinstance(self.model.optimizer, keras.optimizers.Adam) else 2
        self.epochs.append((phase, time.perf_counter() - self._start))


class TimedHyperband(keras_tuner.Hyperband):  # type: ignore[misc]
    """Keras Tuner's Hyperband with a clock; what it does is unchanged."""

    def __init__(self, model: TimedModel, **options: Any) -> None:
        self.records: list[Row] = []
        super().__init__(model, **options)

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """Trains one trial and records its time."""
        model = self.hypermodel
        model.timer.epochs, start = [], time.perf_counter()
        results = super().run_trial(trial, *args, **kwargs)
        measured = {
            "trained": True,
            "seconds": time.perf_counter() - start,
            "epoch_seconds": model.timer.epochs,
            "val_loss": min(results[0].history["val_loss"]),
        }
        self.records.append(model.record(trial) | measured)
        return results


class SameTrials(TimedHyperband):
    """Hyperband without promoted weights, with our scores of the same trials."""

    def _build_hypermodel(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        return keras_tuner.Tuner._build_hypermodel(self, hp)  # without the parent's weights

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """Trains the trial if it is one of the chosen; returns our score in any case."""
        model, spec = self.hypermodel, self.hypermodel.spec
        proposed, ours = model.record(trial), spec["trials"].get(trial.trial_id)
        if ours is None or any(proposed[key] != ours[key] for key in ("hyperparameters", "epochs")):
            raise keras_tuner.errors.FatalError(f"Expected our trial {ours}. Received: {proposed}")
        if ours["status"] == "failed":
            raise keras_tuner.errors.FailedTrialError("as ours")
        if trial.trial_id in spec["chosen"]:
            super().run_trial(trial, *args, **kwargs)
        else:
            self.records.append(proposed | {"trained": False})
        return {"val_loss": ours["score"]}


def load_images(folder: Path, options: SearchOptions) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    """Training and validation batches, decoded once."""
    size = (max(image_sizes(options.space)),) * 2
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
    train, validation = load_images(folder, options)
    tuner = (TimedHyperband if spec["resume"] else SameTrials)(
        TimedModel(spec, options),
        objective="val_loss",
        max_epochs=options.max_epochs,
        factor=options.factor,
        hyperparameters=declare(options.space),
        seed=oracle_seed(options),
        directory=str(folder),
        project_name="tuner",
    )
    tuner.search(train, validation_data=validation, verbose=0)
    (folder / "result.json").write_text(json.dumps(tuner.records))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
