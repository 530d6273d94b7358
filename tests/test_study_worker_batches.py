"""Predictions on two Ray workers are those of one process, row for row."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from small_study import draw_images
from test_search_interruption import ROOT

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.errors import ResourceError, StudyStateError
from concrete_study.models.classifier import Classifier
from concrete_study.models.export import KERAS_FILE
from concrete_study.results.evaluation import read_predictions
from concrete_study.results.folder import StudyFolder
from concrete_study.results.model_folder import open_model_folder
from concrete_study.search.worker_options import WorkerOptions
from concrete_study.study.model import Model
from concrete_study.study.prediction import BATCH_SIZE, predict_files, predict_on_workers

ray = pytest.importorskip("ray", reason="needs the extra `cluster`")
from concrete_study.search.ray_connection import connected  # noqa: E402
from concrete_study.study.worker_batches import AHEAD, map_batches  # noqa: E402

pytestmark = pytest.mark.slow

CLASSES = ["Negative", "Positive"]
# Sums in another number of threads differ in the last digits.
THREADS = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
TWO = WorkerOptions(workers=2, cpus_per_trial=THREADS)


@pytest.fixture(scope="module", autouse=True)
def two_workers() -> Iterator[None]:
    """One Ray for all tests; workers import the project from this checkout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")
        with connected(TWO):
            yield


@pytest.fixture
def keras_file(retrained: StudyFolder) -> Path:
    return retrained.best_path / KERAS_FILE


@pytest.fixture
def files(slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three and a half batches of relative paths, some of which cannot be read."""
    monkeypatch.chdir(tmp_path)
    sources = sorted(slabs.rglob("*.jpg"))
    for number in range(3 * BATCH_SIZE + 16):
        shutil.copy(sources[number % len(sources)], f"{number:03}.jpg")
    Path("005.jpg").write_bytes(b"")
    Path("070.jpg").write_text("no image")
    return [*sorted(map(str, Path().iterdir())), "none.jpg", str(sources[0])]


def test_rows_are_those_of_one_process_in_the_same_order(
    keras_file: Path, files: list[str]
) -> None:
    expected = list(predict_files(Classifier(keras_file), files, CLASSES, threshold=0.5))
    rows = predict_on_workers(
        keras_file, files, CLASSES, TWO, threshold=0.5, positive_class=None, max_megapixels=50
    )
    assert list(rows) == expected
    assert sum(bool(row.error) for row in expected) == 3


def test_the_command_predicts_on_workers(
    retrained: StudyFolder,
    files: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [str(Path(file).absolute()) for file in files[:40]]
    monkeypatch.chdir(retrained.path.parents[1])
    assert run(["predict", *given]) == ExitCode.OK
    expected = capsys.readouterr()
    assert run(["predict", *given, "--workers", "2"]) == ExitCode.OK
    received = capsys.readouterr()
    assert received.out == expected.out  # with four digits
    assert received.err.splitlines()[-2:] == expected.err.splitlines()[-2:]
    assert "predicting: 40 files ..." in received.err


def dying(marker: Path, deaths: int, classifier: Classifier, batch: int) -> int:
    """The worker of batch 2 is killed some times."""
    died = len(list(marker.iterdir()))
    if batch == 2 and died < deaths:
        (marker / str(died)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return batch * batch


def test_the_batch_of_a_lost_worker_is_computed_again(keras_file: Path, tmp_path: Path) -> None:
    work = partial(dying, tmp_path, 2)
    found = map_batches(work, range(6), keras_file, TWO, max_megapixels=50)
    assert list(found) == [0, 1, 4, 9, 16, 25]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_batch_that_loses_its_worker_three_times_is_an_error(
    keras_file: Path, tmp_path: Path
) -> None:
    work = partial(dying, tmp_path, 3)
    with pytest.raises(ResourceError, match="a batch of images lost its worker 3 times"):
        list(map_batches(work, range(6), keras_file, TWO, max_megapixels=50))


def priority(classifier: Classifier, batch: int) -> int:
    return os.nice(0)


def test_workers_have_the_priority_of_this_process(keras_file: Path) -> None:
    found = map_batches(priority, range(2), keras_file, TWO, max_megapixels=50)
    assert set(found) == {os.nice(0)}


def numbered(classifier: Classifier, batch: int) -> int:
    return batch


def test_few_batches_are_in_memory(keras_file: Path) -> None:
    taken: list[int] = []

    def batches() -> Iterator[int]:
        for number in range(60):
            taken.append(number)
            yield number

    for number in map_batches(numbered, batches(), keras_file, TWO, max_megapixels=50):
        assert len(taken) <= number + 1 + 2 * AHEAD
    assert len(taken) == 60


def test_an_error_of_a_worker_is_the_one_of_a_process(tmp_path: Path) -> None:
    (tmp_path / KERAS_FILE).write_bytes(b"no model")
    with pytest.raises(StudyStateError):
        Classifier(tmp_path / KERAS_FILE)
    with pytest.raises(StudyStateError):
        list(map_batches(numbered, range(2), tmp_path / KERAS_FILE, TWO, max_megapixels=50))


def test_an_evaluation_on_workers_has_the_scores_of_one_process(
    retrained: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(retrained.path.parents[1])
    model = Model(open_model_folder(Path("runs"), "small"))
    data = draw_images(tmp_path / "bridge", seed=9)
    expected = model.evaluate(data, progress=False)
    table = model.folder.evaluations_path / expected.folder / "predictions.csv"
    before = read_predictions(table)
    received = model.evaluate(data, workers=2, progress=False)
    after = read_predictions(table)
    assert received.folder == expected.folder
    assert received.test.confusion_matrix == expected.test.confusion_matrix
    assert after["file"].tolist() == before["file"].tolist()
    np.testing.assert_allclose(after["p_Positive"], before["p_Positive"], rtol=0, atol=1e-5)
