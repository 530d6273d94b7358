"""The retrained recipe from random weights, for comparison with transfer learning.

It is the same recipe, so the convolutions that it freezes keep their random weights.
"""

import time

from concrete_study.models.devices import memory_errors, prepare_devices
from concrete_study.results.environment import git_commit
from concrete_study.results.evaluation_records import ScratchRecord
from concrete_study.results.folder import StudyFolder
from concrete_study.results.stored import write_record
from concrete_study.search.progress import SearchProgress
from concrete_study.study.saved_training import TrainingFile
from concrete_study.study.trial_training import TrialTraining

RANDOM_WEIGHTS = "none"
SAVED_TRAINING = ".scratch-training.npz"  # the last finished epoch, until the curve is stored


def train_from_scratch(study: StudyFolder, progress: SearchProgress) -> None:
    """Trains the recipe of the retrained trial on the same images, with a random backbone.

    Only its learning curve is stored, in `best/scratch.json`: the comparison is on the
    validation images, and the test split stays locked.

    Raises:
        StudyStateError: If the study is not retrained.
        SearchError: If training diverged.
    """
    prepare_devices()
    with study.lock(), memory_errors():
        metrics = study.required_metrics()
        start = time.monotonic()
        progress.log("The same recipe from random weights:")
        job = TrialTraining(
            study,
            study.manifest(),
            progress,
            epochs=metrics.epochs,
            views=metrics.views,
            trial=metrics.trial,
            weights=RANDOM_WEIGHTS,
        )
        file = TrainingFile(study.path / SAVED_TRAINING, job.key)
        outcome = job.train(file)
        record = ScratchRecord(
            trial=metrics.trial,
            weights=RANDOM_WEIGHTS,
            epochs=job.epochs,
            views=metrics.views,
            best_epoch=outcome.best_epoch,
            curve=outcome.curve,
            commit=git_commit(),
            seconds=round(time.monotonic() - start + file.seconds, 1),
        )
        write_record(study.scratch_path, record)
        file.remove()
