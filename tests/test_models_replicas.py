"""A retraining on several logical CPU devices, which stand for GPUs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_study import Recorder, Search

from concrete_study.results.evaluation import read_predictions
from concrete_study.results.folder import StudyFolder
from concrete_study.study.retraining import retrain

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SCRIPT = """
import sys
from pathlib import Path
import tensorflow as tf
from concrete_study.results.folder import StudyFolder
from concrete_study.search.progress import SearchProgress
from concrete_study.study.retraining import retrain

class Printed(SearchProgress):
    def log(self, message):
        print(message)

(cpu,) = tf.config.list_physical_devices("CPU")
logical = [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[2])
tf.config.set_logical_device_configuration(cpu, logical)
retrain(StudyFolder(Path(sys.argv[1])), Printed(), fresh_views=True)
"""


def copied(whole: Search, folder: Path) -> StudyFolder:
    shutil.copytree(whole.study.path, folder)
    return StudyFolder(folder)


@pytest.fixture(scope="module")
def one(whole: Search, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    study = copied(whole, tmp_path_factory.mktemp("one") / "small")
    retrain(study, Recorder(), fresh_views=True)
    return study


@pytest.mark.parametrize("devices", [2, 3])
def test_batches_divided_over_devices_train_the_model_of_one_device(
    whole: Search, one: StudyFolder, tmp_path: Path, devices: int
) -> None:
    study = copied(whole, tmp_path / "small")
    command = [sys.executable, "-c", SCRIPT, str(study.path), str(devices)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert f"Each batch is divided over {devices} devices." in done.stdout
    expected, received = one.required_metrics(), study.required_metrics()
    # 20 training images in batches of 8, 8 and 4: all three devices have images, not equally many.
    assert expected.parameters["phase_2"].trainable > expected.parameters["phase_1"].trainable
    for epoch, divided in zip(expected.curve, received.curve, strict=True):
        assert divided.loss == pytest.approx(epoch.loss, abs=1e-5)
        assert divided.val_loss == pytest.approx(epoch.val_loss, abs=1e-5)
    before, after = (
        read_predictions(each.predictions_path).filter(like="p_").to_numpy()
        for each in (one, study)
    )
    np.testing.assert_allclose(before, after, rtol=0, atol=1e-5)
    assert not np.array_equal(before, after), "the batches were not divided"
