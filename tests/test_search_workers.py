import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from small_study import TRIALS, Recorder, Search, kill_once, small_options, without_times
from test_search_interruption import ROOT, arguments

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.errors import ResourceError, UsageError
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import TrialRecord
from concrete_study.search.runner import run_search
from concrete_study.search.trial_run import TrialResult
from concrete_study.search.workers import WorkerOptions

ray = pytest.importorskip("ray", reason="needs the extra `cluster`")
from ray.cluster_utils import Cluster  # noqa: E402

from concrete_study.search import ray_pool  # noqa: E402
from concrete_study.search.ray_worker import TrialWorker  # noqa: E402

# Sums in another number of threads differ in the last digits; `whole` has as many as there are.
THREADS = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@pytest.fixture(autouse=True)
def importable_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes import the project from this checkout."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")


class Watcher(Recorder):
    """Knows the process of each worker, and which trials workers begin."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: dict[str, int] = {}
        self.begun: list[tuple[str, str]] = []
        self.addresses: set[str] = set()

    def log(self, message: str) -> None:
        super().log(message)
        if message.endswith("is ready."):
            name, _, rest = message.partition(" (process ")
            self.processes[name.lower()] = int(rest.split(")")[0])

    def worker_started(self, worker: str, trial: TrialRecord) -> None:
        self.begun.append((worker, trial.trial))
        self.addresses = {node["NodeManagerAddress"] for node in ray.nodes()}


def require_equal(study: StudyFolder, best: TrialRecord, whole: Search) -> None:
    assert replace(best, seconds=0) == replace(whole.best, seconds=0)
    assert without_times(study.trials()) == whole.records
    assert study.manifest().state == "finished"


def test_three_workers_have_the_trials_of_one_process(
    whole: Search, slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # of a cluster that was not asked for
    study, watcher = StudyFolder(tmp_path / "parallel"), Watcher()
    given = WorkerOptions(workers=3, cpus_per_trial=THREADS)
    before = signal.getsignal(signal.SIGTERM)
    best = run_search(small_options(slabs), study, watcher, workers=given)
    require_equal(study, best, whole)
    assert watcher.started == [record.trial for record in whole.records]
    assert sorted(trial for _, trial in watcher.begun) == watcher.started
    (session,) = study.manifest().sessions
    assert 1 <= session.workers <= 3
    assert len(session.nodes) == 1
    assert watcher.addresses == {"127.0.0.1"}  # of no network
    assert signal.getsignal(signal.SIGTERM) is before
    assert not ray.is_initialized()


class Forgetful(TrialWorker):
    """Never has memory for one trial."""

    def run(self, requested: TrialRecord) -> TrialResult:
        if requested.trial == "0001":
            raise MemoryError
        return super().run(requested)


def test_a_trial_without_memory_is_tried_three_times_and_then_failed(
    whole: Search, slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_pool, "TrialWorker", Forgetful)
    study, watcher = StudyFolder(tmp_path / "forgetful"), Watcher()
    given = WorkerOptions(workers=2, cpus_per_trial=THREADS)
    run_search(small_options(slabs), study, watcher, workers=given)
    tried = [trial for _, trial in watcher.begun]
    assert tried.count("0001") == 3
    failed = [record for record in study.trials() if record.status == "failed"]
    assert [record.trial for record in failed] == ["0001"]
    assert failed[0].message.startswith("failed 3 times; worker ")
    assert failed[0].message.endswith("was lost: out of memory")
    # Another one replaces it; the others have the results of one process.
    assert len(study.trials()) == TRIALS + 1
    ran = {(r.epochs, str(r.hyperparameters)): r.curve for r in study.trials()}
    common = [r for r in whole.records if (r.epochs, str(r.hyperparameters)) in ran]
    assert len(common) >= 4
    for record in common:
        if record.trial != "0001":
            assert record.curve == ran[record.epochs, str(record.hyperparameters)]
    assert sum("attempt" in message for message in watcher.messages) == 3


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes on the loopback address."""
    node = {"num_cpus": THREADS, "object_store_memory": 100_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    cluster.add_node(num_cpus=THREADS, object_store_memory=100_000_000)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


class Disturber(Watcher):
    """Kills the first worker within its trial; later removes a node, and adds another."""

    def __init__(self, cluster: Any) -> None:
        super().__init__()
        self.cluster = cluster

    def worker_started(self, worker: str, trial: TrialRecord) -> None:
        super().worker_started(worker, trial)
        if len(self.begun) == 1:
            os.kill(self.processes[worker], signal.SIGKILL)
        if len(self.begun) == 4:
            (node,) = self.cluster.worker_nodes
            self.cluster.remove_node(node, allow_graceful=False)
            self.cluster.add_node(num_cpus=THREADS, object_store_memory=100_000_000)


def test_a_killed_worker_and_a_removed_node_change_no_trial(
    cluster: Any, whole: Search, slabs: Path, tmp_path: Path
) -> None:
    study, disturber = StudyFolder(tmp_path / "disturbed"), Disturber(cluster)
    given = WorkerOptions(cluster=cluster.address, cpus_per_trial=THREADS)
    best = run_search(small_options(slabs), study, disturber, workers=given)
    require_equal(study, best, whole)
    assert any("attempt 1: worker" in message for message in disturber.messages)
    assert len(disturber.begun) > TRIALS
    assert ray.is_initialized() is False


def test_a_killed_driver_is_resumed_with_another_number_of_workers(
    whole: Search, slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study, cpus = StudyFolder(Path("runs") / "killed"), ("--cpus-per-trial", str(THREADS))
    command = arguments(slabs, tmp_path, "--name", "killed", "--workers", "2", *cpus)
    kill_once(lambda: bool(list(study.trials_path.glob("*.json"))), command)
    kept = study.trials()
    assert 1 <= len(kept) < TRIALS
    more = ("--name", "killed", "--resume", "--workers", "1")
    assert run(arguments(slabs, tmp_path, *more)) == ExitCode.OK
    assert without_times(study.trials()) == whole.records
    assert study.trials()[: len(kept)] == kept
    assert [session.workers > 0 for session in study.manifest().sessions] == [True, False]


def test_an_address_without_a_cluster_is_refused(slabs: Path, tmp_path: Path) -> None:
    given = WorkerOptions(cluster="127.0.0.1:1")
    with pytest.raises(UsageError, match=r"no Ray cluster answers at 127\.0\.0\.1:1"):
        run_search(small_options(slabs), StudyFolder(tmp_path / "x"), Recorder(), workers=given)


@pytest.mark.parametrize(
    ("given", "parameter"),
    [
        ({"workers": 0}, "workers"),
        ({"workers": 2, "cpus_per_trial": 0}, "cpus_per_trial"),
        ({"workers": 2, "gpus_per_trial": -1}, "gpus_per_trial"),
        ({"cpus_per_trial": 2}, "cpus_per_trial"),
    ],
)
def test_a_share_that_cannot_be_used_is_refused(given: dict[str, Any], parameter: str) -> None:
    with pytest.raises(UsageError) as caught:
        WorkerOptions(**given).check()
    assert caught.value.parameter == parameter


def test_without_ray_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ResourceError, match=r'pip install "concrete-study\[cluster\]"'):
        WorkerOptions(workers=2).check()
    WorkerOptions(workers=1).check()
