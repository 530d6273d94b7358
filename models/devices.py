"""CPU or GPU, set up so that the same seed gives the same result."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from concrete_study.datasets.errors import ResourceError
from concrete_study.models.keras_settings import set_formats


def prepare_devices() -> str:
    """Sets up Keras and makes GPUs exact, deterministic and shareable; returns the GPUs' names.

    Call it before anything is computed. A CPU needs no set-up: TensorFlow's CPU kernels are
    deterministic.
    """
    set_formats()
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    # TF32 would round products to 10 bits.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    tf.config.experimental.enable_op_determinism()
    for gpu in gpus:
        # Otherwise this process takes all GPU memory and no second one can check an export.
        tf.config.experimental.set_memory_growth(gpu, True)
    return device_names()


def set_threads(threads: int) -> None:
    """Sets the number of TensorFlow's threads; call it before anything is computed.

    Raises:
        RuntimeError: If it is too late, and the number would change.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def device_names() -> str:
    """The names of all GPUs of this machine; `CPU` if there is none."""
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return ", ".join(detail.get("device_name", "GPU") for detail in details) or "CPU"


def count_gpus() -> int:
    """The number of GPUs that TensorFlow sees."""
    return len(tf.config.list_physical_devices("GPU"))


def device_kind() -> str:
    """`GPU` or `CPU`: their sums differ in the last digits."""
    return "GPU" if count_gpus() else "CPU"


def training_devices() -> list[str]:
    """Names of the logical devices over which a retraining divides its batches."""
    return [device.name for device in tf.config.list_logical_devices(device_kind())]


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turns TensorFlow's out-of-memory error into one that a user can act on."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise ResourceError(
            "the device is out of memory.",
            f"Expected memory for a batch; received: {str(error.message).splitlines()[0]}",
            "a smaller batch size or image size, in a new study.",
        ) from error


def require_memory(size: int, batch_size: int, *, least: int) -> None:
    """Refuses batches that do not fit into the main memory, where TensorFlow would crash.

    Args:
        size: Height and width of the images in pixels.
        batch_size: Images of a training batch.
        least: Images of a batch of features, which has a fixed size.

    Raises:
        ResourceError: If the first block's two float32 outputs of one batch, 64 channels each,
            need more than all memory.
    """
    if device_kind() == "GPU" or not hasattr(os, "sysconf"):
        return
    image = 2 * 4 * 64 * size * size  # bytes
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    largest = max(batch_size, least)
    if image * largest <= memory:
        return
    expected = (
        f"Expected at least {image * largest / 1e9:.0f} GB of memory for a batch of {largest}; "
        f"received {memory / 1e9:.0f} GB."
    )
    if image * least <= memory:
        raise ResourceError(
            f"batches of {batch_size} images of {size} pixels are too large for this machine.",
            expected,
            f"at most {memory // image} images.",
            parameter="batch_size",
        )
    raise ResourceError(
        f"images of {size} pixels are too large for this machine.",
        expected,
        "224 pixels, the size that VGG16 was trained at.",
        parameter="image_size",
    )
