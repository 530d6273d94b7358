"""Exports of the trained network, which load without this project, and their check."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import is_zipfile

import keras
import numpy as np
from numpy.typing import NDArray

from concrete_study.datasets.errors import DamagedModelError, ResourceError, UsageError
from concrete_study.models.backbone import BackboneWeights
from concrete_study.models.configuration import Configuration
from concrete_study.models.head import Weights
from concrete_study.models.network import build_model, set_trainable

KERAS_FILE = "model.keras"
# Export formats, and the file or folder of each.
EXPORTS = {
    "keras": KERAS_FILE,
    "saved-model": "saved_model",
    "litert": "model.tflite",
    "onnx": "model.onnx",
}
LFS_POINTER = b"version https://git-lfs"
# Packages that write an export and that run it.
_PACKAGES = {"litert": ("ai_edge_litert",), "onnx": ("tf2onnx", "onnxruntime")}
SUMMARY_COLUMNS = 112  # with fewer the heading of the last column is truncated
# Sums in another order change float32 probabilities by less than this.
TOLERANCE = 1e-4


def open_keras_file(path: Path) -> keras.Model:
    """Loads the retrained model of a study.

    Args:
        path: The `.keras` file in `runs/<name>/best/`.

    Raises:
        DamagedModelError: If it is missing, truncated or a Git LFS pointer.
    """
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises many kinds for what it cannot read
        raise DamagedModelError(
            f"{path} {'is damaged' if path.exists() else 'is missing'}.",
            f"Expected a Keras model; received {_content(path, error)}.",
            study=path.absolute().parent.parent.name,
        ) from error


def _content(path: Path, error: Exception) -> str:
    if not path.is_file():
        return "no file"
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            return "a Git LFS pointer (git lfs pull replaces it by the file)"
    if not is_zipfile(path):
        return f"{path.stat().st_size} bytes that are no complete .keras file"
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return f"{path.stat().st_size} bytes: {reason.rstrip('.')}"


def trained_model(
    configuration: Configuration,
    weights: BackboneWeights,
    trained: Weights,
    *,
    classes: int,
) -> keras.Model:
    """The float32 network with the weights after training."""
    model = build_model(configuration, weights, classes=classes)
    for name, arrays in trained.items():
        model.get_layer(name).set_weights(arrays)
    return model


def parameter_counts(model: keras.Model, unfreeze_depth: int) -> dict[str, dict[str, int]]:
    """Trainable and non-trainable parameters of each phase; leaves the model as in the last one."""
    counts = {}
    for phase, depth in enumerate([0, unfreeze_depth] if unfreeze_depth else [0], start=1):
        set_trainable(model, depth)
        trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
        counts[f"phase_{phase}"] = {
            "trainable": trainable,
            "non_trainable": model.count_params() - trainable,
        }
    return counts


def summary_text(model: keras.Model) -> str:
    """Keras' own table of layers, shapes and parameters."""
    lines: list[str] = []
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(SUMMARY_COLUMNS)  # else Keras truncates it to the terminal's width
    try:
        model.summary(
            line_length=SUMMARY_COLUMNS,
            print_fn=lambda line, line_break=True: lines.append(line),
            show_trainable=True,
        )
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before
    return "\n".join(lines) + "\n"


def require_exporters(formats: Sequence[str]) -> None:
    """Ensures, before anything is trained, that all formats can be written and loaded.

    Raises:
        UsageError: If a format is unknown, or a package that it needs is not installed.
    """
    for name in formats:
        if name not in EXPORTS:
            raise UsageError(
                f"{name!r} is not an export format.",
                f"Expected some of {', '.join(EXPORTS)}.",
                parameter="formats",
            )
        missing = [p for p in _PACKAGES.get(name, ()) if find_spec(p) is None]
        if missing:
            raise UsageError(
                f"format {name} requires {' and '.join(missing)}.",
                "Expected the packages of the extra `exports`; they are not installed.",
                'pip install "concrete-study[exports]"',
                parameter="formats",
            )


def export_model(keras_file: Path, folder: Path, formats: Sequence[str]) -> None:
    """Writes exports of a `.keras` file into a folder: SavedModel, LiteRT or ONNX."""
    model = open_keras_file(keras_file)
    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # for ONNX, Keras needs one call
    kinds = {"saved-model": "tf_saved_model", "litert": "litert", "onnx": "onnx"}
    for name in formats:
        if name != "keras":
            # Messages of Keras and the converters do not concern this model.
            with warnings.catch_warnings(), redirect_stdout(StringIO()):
                warnings.simplefilter("ignore")
                model.export(folder / EXPORTS[name], format=kinds[name], verbose=False)


def check_exports(
    exports: Sequence[Path], images: NDArray[np.float32], expected: NDArray[np.float64]
) -> dict[str, float]:
    """Loads each export in a new process and compares its predictions.

    Args:
        exports: `.keras` files and SavedModel folders.
        images: (images, size, size, 3) in 0..255.
        expected: The trained network's probabilities (images, classes).

    Returns:
        The largest difference of a probability, by export.

    Raises:
        ResourceError: If an export does not load or differs by more than `TOLERANCE`.
    """
    with TemporaryDirectory() as scratch:
        images_file = Path(scratch) / "images.npy"
        np.save(images_file, images)
        # -I: neither this project nor the current folder can be imported instead.
        command = [sys.executable, "-I", str(Path(__file__).parent / "fresh_process.py")]
        result = subprocess.run(  # noqa: S603 - this Python, our script, our files
            [*command, str(images_file), *map(str, exports)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},  # this process may use all of the GPU
        )
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        raise ResourceError(
            "an export does not load in a new process.",
            f"Expected predictions; received: {lines[-1]}",
        )
    predictions = json.loads(result.stdout.splitlines()[-1])
    differences = {
        export.name: float(np.abs(np.array(predicted) - expected).max())
        for export, predicted in zip(exports, predictions, strict=True)
    }
    if not all(difference <= TOLERANCE for difference in differences.values()):
        raise ResourceError(
            "an export and the trained model predict different probabilities.",
            f"Expected differences up to {TOLERANCE}; received {differences}.",
        )
    return differences
