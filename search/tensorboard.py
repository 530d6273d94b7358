"""Event files for TensorBoard, from the records of trials.

`tensorboard --logdir runs/NAME/tensorboard` shows every trial under HPARAMS and one run per trial,
e.g. `trial-0007-at-10-epochs`, with charts such as `phase 2/validation loss`: it hides all runs by
default if there are more than 40, and Hyperband's 30 trials by two phases and two subsets are 120.
The retrained model's training and validation are two runs, so that they share their charts.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from concrete_study.results.hyperparameters import Space, by_name
from concrete_study.results.records import Epoch, TrialRecord

CURVES = {
    "training": {"loss": "loss", "accuracy": "accuracy"},
    "validation": {"loss": "val_loss", "accuracy": "val_accuracy", "macro F1": "val_macro_f1"},
}
SCORE = "score"


class TrialBoard:
    """Writes a study's trials as they end.

    Args:
        folder: For `tensorboard --logdir`; the run of each trial is replaced.
        space: The search space.
        objective: The name under which the score is shown.
    """

    def __init__(self, folder: Path, space: Space, objective: str) -> None:
        self.folder = folder
        with _run(folder):
            hparams.hparams_config(
                hparams=[hparams.HParam(by_name()[name].label) for name in space],
                metrics=[hparams.Metric(SCORE, display_name=objective)],
            )

    def write(self, record: TrialRecord) -> None:
        """Writes hyperparameters, score and learning curves; steps are epochs of both phases."""
        run = self.folder / f"trial-{record.trial}-at-{record.epochs}-epochs"
        shutil.rmtree(run, ignore_errors=True)
        with _run(run):
            known = by_name()
            values = {known[name].label: value for name, value in record.hyperparameters.items()}
            hparams.hparams(values, trial_id=record.trial)
            if record.score is not None:
                tf.summary.scalar(SCORE, record.score, step=record.best_epoch)
            for subset, measures in CURVES.items():
                for name, field in measures.items():
                    _write_curve(record.curve, field, f"phase {{}}/{subset} {name}")


def write_best(folder: Path, curve: Sequence[Epoch]) -> None:
    """Writes the learning curves of the retrained model, both subsets in one chart."""
    shutil.rmtree(folder, ignore_errors=True)
    for subset, measures in CURVES.items():
        with _run(folder / subset):
            for name, field in measures.items():
                _write_curve(curve, field, f"best, phase {{}}/{name}")


def _run(folder: Path) -> tf.summary.SummaryWriter:
    return tf.summary.create_file_writer(str(folder)).as_default()


def _write_curve(curve: Sequence[Epoch], field: str, chart: str) -> None:
    for epoch in curve:
        tf.summary.scalar(chart.format(epoch.phase), getattr(epoch, field), step=epoch.epoch)
