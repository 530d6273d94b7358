"""What all tests share: real photographs where they are at hand, and a cache of their own."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from concrete_study.datasets.decoding import MAX_MEGAPIXELS, limit_pixels

if TYPE_CHECKING:
    from small_study import Search

    from concrete_study.results.folder import StudyFolder

# Before any test module imports TensorFlow, which reads it once.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

ROOT = Path(__file__).parents[1]
METU = ROOT.parent / "shared" / "data" / "metu-4000"


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty cache for the session, so that no test reads or fills the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def pixel_limit() -> Iterator[None]:
    """The limit of a study or a command holds for the process, and here for one test."""
    yield
    limit_pixels(MAX_MEGAPIXELS)


@pytest.fixture(scope="session", autouse=True)
def shared_networks() -> Iterator[None]:
    """Searches and retraining share one network of each kind (see `shared_networks.py`)."""
    with pytest.MonkeyPatch.context() as patch:
        if "concrete_study.models.trainable" in sys.modules:  # else no test here needs TensorFlow
            from shared_networks import load_weights, shared_network, shared_step_times

            for module in ("search.preparation", "study.trial_training", "study.audit"):
                patch.setattr(f"concrete_study.{module}.load_weights", load_weights)
                patch.setattr(f"concrete_study.{module}.Network", shared_network)
            times = "concrete_study.search.preparation.measure_step_times"
            patch.setattr(times, shared_step_times)
        yield


@pytest.fixture(scope="session")
def real_images() -> Path:
    """The folder of 4,000 METU photographs, one sub-folder per class."""
    if not METU.is_dir():
        pytest.skip("the METU photographs are not on this machine")
    return METU


@pytest.fixture(scope="session")
def slabs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 14 drawn slabs, 48 pixels."""
    from small_study import draw_images

    return draw_images(tmp_path_factory.mktemp("slabs") / "images")


@pytest.fixture(scope="session")
def whole(slabs: Path, tmp_path_factory: pytest.TempPathFactory) -> "Search":
    """A small search from its start to its end, in one go; not to be changed."""
    from small_study import searched

    return searched(slabs, tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture(scope="session")
def retrained(whole: "Search", tmp_path_factory: pytest.TempPathFactory) -> "StudyFolder":
    """A copy of the small search as `runs/small`, retrained; not to be changed."""
    from small_study import Recorder

    from concrete_study.results.folder import StudyFolder
    from concrete_study.study.retraining import retrain

    study = StudyFolder(tmp_path_factory.mktemp("retrained") / "runs" / "small")
    shutil.copytree(whole.study.path, study.path)
    retrain(study, Recorder())
    return study
