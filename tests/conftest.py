"""What all tests share: real photographs where they are at hand, and a cache of their own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture(scope="session")
def real_images() -> Path:
    """The folder of 4,000 METU photographs, one sub-folder per class."""
    if not METU.is_dir():
        pytest.skip("the METU photographs are not on this machine")
    return METU
