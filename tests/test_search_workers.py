import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace
from small_study import (
    SPACE,
    SPACE_TOML,
    TRIALS,
    Recorder,
    Search,
    kill_once,
    searched,
    small_options,
    without_times,
)
from test_search_interruption import ROOT, arguments

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.errors import ResourceError, UsageError
from concrete_study.datasets.sample import make_sample
from concrete_study.models import feature_shards
from concrete_study.models.features import BATCH_SIZE
from concrete_study.results.folder import StudyFolder
from concrete_study.results.hyperparameters import Dimension
from concrete_study.results.records import TrialRecord
from concrete_study.search import trial_run, workers
from concrete_study.search.lookahead import trial_key
from concrete_study.search.runner import run_search
from concrete_study.search.trial_run import TrialResult
from concrete_study.search.worker_options import IN_PROCESS, WorkerOptions

ray = pytest.importorskip("ray", reason="needs the extra `cluster`")
from ray.cluster_utils import Cluster  # noqa: E402

from concrete_study.search import ray_worker  # noqa: E402
from concrete_study.search.ray_worker import ShardTask, TrialWorker  # noqa: E402

pytestmark = pytest.mark.slow

# Sums in another number of threads differ in the last digits; `whole` has as many as there are.
THREADS = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


# Without fine-tuning each worker compiles less.
HEADS = SPACE | {"unfreeze_depth": Dimension(choices=(0,))}
HEADS_VIEWS = 2 + 7  # of training images, and of validation images with six shifts; one layer
HEADS_TOML = SPACE_TOML.replace("[0, 1]", "0")


def importable(patch: pytest.MonkeyPatch) -> None:
    """Worker processes import the project from this checkout, and have the priority of this one."""
    patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")
    patch.setenv("RAY_worker_niceness", "0")  # also where the test starts the nodes


@pytest.fixture(autouse=True)
def importable_here(monkeypatch: pytest.MonkeyPatch) -> None:
    importable(monkeypatch)


@pytest.fixture(scope="module")
def heads(slabs: Path, tmp_path_factory: pytest.TempPathFactory) -> Search:
    """A search without fine-tuning by one process."""
    return searched(slabs, tmp_path_factory.mktemp("runs") / "heads", space=HEADS)


class Watcher(Recorder):
    """Knows the process of each worker, and which trials workers begin."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: dict[str, int] = {}
        self.begun: list[tuple[str, TrialRecord]] = []
        self.addresses: set[str] = set()

    def log(self, message: str) -> None:
        super().log(message)
        if message.endswith("is ready."):
            name, _, rest = message.partition(" (process ")
            self.processes[name.lower()] = int(rest.split(")")[0])

    def worker_started(self, worker: str, trial: TrialRecord) -> None:
        self.begun.append((worker, trial))
        self.addresses = {node["NodeManagerAddress"] for node in ray.nodes()}


def require_equal(study: StudyFolder, best: TrialRecord, whole: Search) -> None:
    assert replace(best, seconds=0) == replace(whole.best, seconds=0)
    assert without_times(study.trials()) == whole.records
    assert study.manifest().state == "finished"


FORGOTTEN = "0001"
KILLED = "KILLED_WORKER"  # names a file, which is there once a worker is killed


class Unlucky(TrialWorker):
    """Is killed within one shard of features, and never has memory for one trial."""

    def compute(self, task: ShardTask) -> None:
        store = self._prepared.stores[task.size][task.subset]
        append = store.append

        def append_and_die(*given: Any, **named: Any) -> None:
            append(*given, **named)
            os.kill(os.getpid(), signal.SIGKILL)

        if task.shard.start:
            with suppress(FileExistsError):  # of another worker
                Path(os.environ[KILLED]).touch(exist_ok=False)
                store.append = append_and_die  # type: ignore[method-assign]
        super().compute(task)

    def run(self, requested: TrialRecord) -> TrialResult:
        if requested.trial == FORGOTTEN:
            raise MemoryError
        return super().run(requested)


class Both(NamedTuple):
    """The same search by one process, and by three workers with faults."""

    alone: Search
    parallel: Search
    watcher: Watcher
    features: list[dict[str, bytes]]
    keeps_signals: bool


def stored_features(cache: Path) -> dict[str, bytes]:
    files = (cache / "features").rglob("*.*")
    return {str(file.relative_to(cache)): file.read_bytes() for file in files if file.is_file()}


@pytest.fixture(scope="module")
def unlucky(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Of 64 images, so that a view has two shards; each search has a cache of its own."""
    folder = tmp_path_factory.mktemp("unlucky")
    make_sample(folder / "images", images=64, size=48, seed=3)
    options, watcher = small_options(folder / "images"), Watcher()
    found: list[Search] = []
    before = signal.getsignal(signal.SIGTERM)

    def fails_alike(*given: Any, **named: Any) -> TrialResult:
        if given[2].trial == FORGOTTEN:
            return TrialResult(replace(given[2], message="out of memory"), [])
        return trial_run.run_trial(*given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "run_trial", fails_alike)
        patch.setattr(ray_worker, "TrialWorker", Unlucky)
        patch.setattr(feature_shards, "SHARD_IMAGES", BATCH_SIZE)
        patch.setenv(KILLED, str(folder / "killed"))
        patch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # of another Ray, which is not joined
        importable(patch)
        for name, recorder, given in (
            ("alone", Recorder(), IN_PROCESS),
            ("parallel", watcher, WorkerOptions(workers=3, cpus_per_trial=THREADS)),
        ):
            patch.setenv("STUDY_CACHE_DIR", str(folder / name))
            study = StudyFolder(folder / "runs" / name)
            best = run_search(options, study, recorder, workers=given)
            found.append(Search(options, study, recorder, best))
    assert (folder / "killed").exists()
    alone, parallel = found
    caches = [stored_features(folder / search.study.name) for search in found]
    return Both(alone, parallel, watcher, caches, signal.getsignal(signal.SIGTERM) is before)


def test_features_of_several_workers_are_those_of_one_process(unlucky: Both) -> None:
    alone, parallel = unlucky.features
    assert len(alone) > 20
    assert parallel == alone
    (lost,) = [line for line in unlucky.watcher.messages if line.startswith("Features of ")]
    assert "attempt 1: worker" in lost
    assert unlucky.watcher.counted == unlucky.alone.recorder.counted


def test_three_workers_have_the_trials_of_one_process(unlucky: Both) -> None:
    alone, (_, study, _, best), watcher = unlucky.alone, unlucky.parallel, unlucky.watcher
    assert replace(best, seconds=0) == replace(alone.best, seconds=0)
    assert without_messages(unlucky.parallel.records) == without_messages(alone.records)
    assert study.manifest().state == "finished"
    assert watcher.started == [record.trial for record in alone.records]
    # By configuration: after a failed trial later identifiers are not those of the lookahead.
    begun = Counter(trial_key(trial) for _, trial in watcher.begun)
    (forgotten,) = [trial_key(record) for record in alone.records if record.trial == FORGOTTEN]
    assert begun.pop(forgotten) == 3
    assert begun == Counter(map(trial_key, alone.records)) - Counter([forgotten])
    (session,) = study.manifest().sessions
    assert 1 <= session.workers <= 7  # four are lost
    assert len(session.nodes) == 1
    assert watcher.addresses == {"127.0.0.1"}  # of no network
    assert unlucky.keeps_signals
    assert not ray.is_initialized()


def without_messages(records: list[TrialRecord]) -> list[TrialRecord]:
    return [replace(record, message="") for record in records]


def test_a_trial_without_memory_is_tried_three_times_and_then_failed(unlucky: Both) -> None:
    watcher, records = unlucky.watcher, unlucky.parallel.records
    assert [trial.trial for _, trial in watcher.begun].count(FORGOTTEN) == 3
    failed = [record for record in records if record.status == "failed"]
    assert [record.trial for record in failed] == [FORGOTTEN]
    assert failed[0].message.startswith("failed 3 times; worker ")
    assert failed[0].message.endswith("was lost: out of memory")
    lost = [line for line in watcher.messages if line.startswith(f"Trial {FORGOTTEN}, attempt")]
    assert len(lost) == 3
    assert len(records) == TRIALS + 1  # another one replaces it


class Nodes(NamedTuple):
    """A cluster, and the cache of all its nodes but the head."""

    cluster: Any
    cache: Path

    def add(self) -> None:
        self.cluster.add_node(
            num_cpus=THREADS,
            object_store_memory=100_000_000,
            env_vars={"STUDY_CACHE_DIR": str(self.cache)},
        )


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Two nodes on the loopback address."""
    node = {"num_cpus": THREADS, "object_store_memory": 100_000_000, "include_dashboard": False}
    nodes = Nodes(Cluster(initialize_head=True, head_node_args=node), tmp_path / "cache")
    nodes.add()
    yield nodes
    ray.shutdown()
    nodes.cluster.shutdown()


class Disturber(Watcher):
    """Kills the first worker within its trial; later removes a node, and adds another."""

    def __init__(self, nodes: Nodes) -> None:
        super().__init__()
        self.nodes = nodes

    def worker_started(self, worker: str, trial: TrialRecord) -> None:
        super().worker_started(worker, trial)
        if len(self.begun) == 1:
            os.kill(self.processes[worker], signal.SIGKILL)
        if len(self.begun) == 4:
            until = time.monotonic() + 240
            while len(list(self.nodes.cache.rglob("*.npy"))) < HEADS_VIEWS:
                assert time.monotonic() < until
                time.sleep(0.1)
            (node,) = self.nodes.cluster.worker_nodes
            self.nodes.cluster.remove_node(node, allow_graceful=False)
            self.nodes.add()


def test_a_killed_worker_and_a_removed_node_change_no_trial(
    nodes: Nodes, heads: Search, cache: Path, tmp_path: Path
) -> None:
    study, disturber = StudyFolder(tmp_path / "disturbed"), Disturber(nodes)
    given = WorkerOptions(cluster=nodes.cluster.address, cpus_per_trial=THREADS)
    best = run_search(heads.options, study, disturber, workers=given)
    require_equal(study, best, heads)
    assert any("attempt 1: worker" in message for message in disturber.messages)
    assert len(disturber.begun) > TRIALS
    assert ray.is_initialized() is False
    # The node that does not share the driver's features has computed them itself.
    own, shared = stored_features(nodes.cache), stored_features(cache)
    files = [name for name in own if name.endswith(".npy")]
    assert len(files) == HEADS_VIEWS
    assert all(own[name] == shared[name] for name in files)


def heads_arguments(slabs: Path, folder: Path, *more: str) -> list[str]:
    """The command line of the search `heads`."""
    given = arguments(slabs, folder, *more)
    (folder / "space.toml").write_text(HEADS_TOML)
    return given


def test_a_killed_driver_is_resumed_with_another_number_of_workers(
    heads: Search, slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study, cpus = StudyFolder(Path("runs") / "killed"), ("--cpus-per-trial", str(THREADS))
    command = heads_arguments(slabs, tmp_path, "--name", "killed", "--workers", "2", *cpus)
    kill_once(lambda: bool(list(study.trials_path.glob("*.json"))), command)
    kept = study.trials()
    assert 1 <= len(kept) < TRIALS
    more = ("--name", "killed", "--resume", "--workers", "1")
    assert run(heads_arguments(slabs, tmp_path, *more)) == ExitCode.OK
    assert without_times(study.trials()) == heads.records
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
