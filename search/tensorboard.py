"""Curves and hyperparameters as TensorBoard reads them, from the records of trials.

`tensorboard --logdir runs/NAME/tensorboard` has one run per trial, phase and subset, e.g.
`trial-0007-at-10-epochs/phase-2/validation`, and every trial under HPARAMS.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from results.records import EpochRecord, TrialRecord
from search.space import Space

CURVES = {
    "training": {"loss": "loss", "accuracy": "accuracy"},
    "validation": {"loss": "val_loss", "accuracy": "val_accuracy", "macro F1": "val_macro_f1"},
}
SCORE = "score"


class TrialBoard:
    """Writes a study's trials as they end.

    Args:
        folder: Read by `tensorboard --logdir`; written anew trial by trial.
        space: The searched one.
        objective: What `score` is.
    """

    def __init__(self, folder: Path, space: Space, objective: str) -> None:
        self.folder = folder
        with tf.summary.create_file_writer(str(folder)).as_default():
            hparams.hparams_config(
                hparams=[hparams.HParam(name.replace("_", " ")) for name in space],
                metrics=[hparams.Metric(SCORE, display_name=objective)],
            )

    def write(self, record: TrialRecord) -> None:
        """One trial: its settings, its score and its curves."""
        run = self.folder / f"trial-{record.trial}-at-{record.epochs}-epochs"
        shutil.rmtree(run, ignore_errors=True)
        with tf.summary.create_file_writer(str(run)).as_default():
            settings = {name.replace("_", " "): value for name, value in record.settings.items()}
            hparams.hparams(settings, trial_id=record.trial)
            if record.score is not None:
                tf.summary.scalar(SCORE, record.score, step=record.best_epoch)
        write_curves(run, record.curve)


def write_curves(run: Path, curve: Sequence[EpochRecord]) -> None:
    """A run per phase and subset; its steps are epochs, counted through both phases."""
    for phase in sorted({epoch.phase for epoch in curve}):
        for subset, measures in CURVES.items():
            place = run / f"phase-{phase}" / subset
            shutil.rmtree(place, ignore_errors=True)
            with tf.summary.create_file_writer(str(place)).as_default():
                for epoch in (epoch for epoch in curve if epoch.phase == phase):
                    for name, field in measures.items():
                        tf.summary.scalar(name, getattr(epoch, field), step=epoch.epoch)
