"""Batches of images on several workers (Ray), each with the model; results in order."""

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import ray
from ray.exceptions import RayError, RayTaskError

from concrete_study.datasets.decoding import limit_pixels
from concrete_study.datasets.errors import ResourceError, StudyError
from concrete_study.search.ray_connection import Share, connected, fitting_workers
from concrete_study.search.worker_options import WorkerOptions

if TYPE_CHECKING:
    from concrete_study.models.classifier import Classifier

ATTEMPTS = 3  # of a batch whose worker is lost
AHEAD = 4  # batches for each worker that run, or wait for an earlier one
Batch = TypeVar("Batch")
Result = TypeVar("Result")


class _Task(NamedTuple):
    """What each worker needs; the model is a reference, so that it is copied once."""

    model: "ray.ObjectRef[Any]"
    threads: int
    max_megapixels: float


def map_batches(
    work: Callable[["Classifier", Batch], Result],
    batches: Iterable[Batch],
    keras_file: Path,
    options: WorkerOptions,
    *,
    max_megapixels: float,
) -> Iterator[Result]:
    """Computes batches on workers and yields their results in the order of the batches.

    Args:
        work: A function of a module, or a `partial` of one.
        batches: Taken as workers become free.
        keras_file: The model, which other machines need not have.
        options: Where batches are computed.
        max_megapixels: Of an image.

    Raises:
        UsageError: If there is no cluster at the address.
        ResourceError: If a batch lost its worker three times.
    """
    with connected(options) as share:
        model = ray.put(np.frombuffer(keras_file.read_bytes(), np.uint8))
        task = _Task(model, share.threads, max_megapixels)
        remote: Any = ray.remote(
            num_cpus=share.cpus, num_gpus=share.gpus, max_retries=ATTEMPTS - 1
        )(_compute)
        yield from _in_order(lambda batch: remote.remote(task, work, batch), batches, share)


def _in_order(
    submit: Callable[[Batch], Any], batches: Iterable[Batch], share: Share
) -> Iterator[Any]:
    waiting, running = iter(batches), set[Any]()
    results: deque[Any] = deque()  # references in the order of batches
    is_more = True
    while is_more or results:
        workers = share.workers or fitting_workers(share)
        while is_more and len(running) < workers and len(results) < AHEAD * workers:
            try:
                reference = submit(next(waiting))
            except StopIteration:
                is_more = False
            else:
                running.add(reference)
                results.append(reference)
        if results and results[0] not in running:
            yield _value(results.popleft())
        elif running:
            ready, _ = ray.wait(list(running), num_returns=1)
            running.difference_update(ready)


def _value(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, StudyError):
            raise error.cause from error
        raise
    except RayError as error:
        raise ResourceError(
            f"a batch of images lost its worker {ATTEMPTS} times.",
            f"Expected memory for one batch in each worker; received: {str(error).splitlines()[0]}",
            "fewer workers, or none.",
        ) from error


def _compute(task: _Task, work: Callable[["Classifier", Batch], Result], batch: Batch) -> Result:
    """Runs in a worker, which keeps the model for its next batches."""
    classifier = _opened(task.model, task.threads)
    from concrete_study.models.devices import memory_errors

    limit_pixels(task.max_megapixels)
    with memory_errors():
        return work(classifier, batch)


@lru_cache(1)
def _opened(model: "ray.ObjectRef[Any]", threads: int) -> "Classifier":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from concrete_study.models.devices import prepare_devices, set_threads

    with suppress(RuntimeError):  # an earlier model in this process has set them
        set_threads(threads)

    from concrete_study.models.classifier import Classifier

    prepare_devices()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(ray.get(model).tobytes())
        return Classifier(path)
