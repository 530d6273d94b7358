"""The retrained recipe once more from random weights: what transfer learning was worth.

It is the same recipe, so the convolutions that it freezes stay as they were drawn.
"""

import time
from dataclasses import asdict

from concrete_study.datasets.files import write_json
from concrete_study.models.devices import memory_errors, prepare_devices
from concrete_study.results.environment import git_commit
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import STORED_VIEWS
from concrete_study.search.progress import SearchProgress
from concrete_study.search.recording import record_epoch
from concrete_study.study.retraining import Retraining


def train_from_scratch(study: StudyFolder, progress: SearchProgress) -> None:
    """Trains the retrained trial's recipe on the same images with the base at random weights.

    Only its curve is kept, `best/scratch.json`: it is compared on the validation images, and
    the test split stays closed.

    Raises:
        StudyStateError: If the study is not retrained.
        SearchError: If training diverged.
    """
    prepare_devices()
    with study.lock(), memory_errors():
        metrics = study.required_metrics()
        start = time.monotonic()
        progress.log("The same recipe from random weights:")
        job = Retraining(
            study,
            study.manifest(),
            progress,
            epochs=metrics["epochs"],
            fast=metrics["trained_on"] == STORED_VIEWS,
            trial=metrics["trial"],
            weights="none",
        )
        outcome = job.train()
        content = {
            "trial": metrics["trial"],
            "weights": "none",
            "epochs": job.epochs,
            "trained_on": metrics["trained_on"],
            "best_epoch": outcome.best_epoch,
            "curve": [asdict(record_epoch(epoch)) for epoch in outcome.curve],
            "commit": git_commit(),
            "seconds": round(time.monotonic() - start, 1),
        }
        write_json(study.scratch_path, content)
