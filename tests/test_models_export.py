"""Exports: they predict as the trained network does, in a process without this project."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from random_features import SIZE, RandomFeatures, configuration
from shared_networks import small_network, with_random_output

from concrete_study.datasets.errors import ResourceError, UsageError
from concrete_study.models.export import (
    EXPORTS,
    KERAS_FILE,
    check_exports,
    export_model,
    parameter_counts,
    require_exporters,
    summary_text,
    trained_model,
)
from concrete_study.models.recipe import initialize

pytestmark = pytest.mark.slow


class Stored(NamedTuple):
    """A trained model, its file, and its predictions for some images."""

    model: keras.Model
    file: Path
    images: NDArray[np.float32]
    predicted: NDArray[np.float64]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    network, file = small_network(), tmp_path_factory.mktemp("stored") / KERAS_FILE
    tried = replace(configuration(3), feature_scaling="standardised")
    weights = with_random_output(initialize(network, tried, RandomFeatures(20, 1), seed=1))
    kernel, bias = network.weights.layers["block5_conv3"]
    weights["block5_conv3"] = [2 * kernel, bias]
    model = trained_model(tried, network.weights, weights, classes=2)
    model.save(file)
    images = np.random.default_rng(1).uniform(0, 255, (3, SIZE, SIZE, 3)).astype("float32")
    return Stored(model, file, images, model(images, training=False).numpy().astype(np.float64))


def test_exports_predict_as_the_trained_network_in_a_fresh_process(stored: Stored) -> None:
    export_model(stored.file, stored.file.parent, list(EXPORTS))
    exports = [stored.file.parent / name for name in EXPORTS.values()]
    differences = check_exports(exports, stored.images, stored.predicted)
    assert differences.keys() == set(EXPORTS.values())
    onnx = [stored.file.parent / EXPORTS["onnx"]]  # its runtime starts in a second
    for wrong in (np.full_like(stored.predicted, np.nan), 1 - stored.predicted):
        with pytest.raises(ResourceError, match="different probabilities"):
            check_exports(onnx, stored.images, wrong)


def test_a_summary_has_whole_lines_and_parameters_are_counted_by_phase(stored: Stored) -> None:
    model = stored.model
    table = [line for line in summary_text(model).splitlines() if line and line[0] in "┏┃│└"]
    assert len({len(line) for line in table}) == 1
    assert "…" not in "".join(table)
    assert parameter_counts(model, 3) == {
        "phase_1": {"trainable": 8242, "non_trainable": 14_714_688 + 1024},
        "phase_2": {"trainable": 7_079_424 + 8242, "non_trainable": 7_635_264 + 1024},
    }


@pytest.mark.parametrize("name", ["onnx", "litert"])
def test_every_format_is_written_from_a_stored_model_alone(name: str, tmp_path: Path) -> None:
    network = small_network()
    tried = replace(configuration(1), feature_layers="block3+4+5", feature_scaling="square-root")
    weights = with_random_output(initialize(network, tried, RandomFeatures(4, 1), seed=1))
    model = trained_model(tried, network.weights, weights, classes=2)
    model.save(tmp_path / KERAS_FILE)
    export_model(tmp_path / KERAS_FILE, tmp_path, [name])
    images = np.random.default_rng(1).uniform(0, 255, (3, SIZE, SIZE, 3)).astype("float32")
    expected = model(images, training=False).numpy().astype(np.float64)
    assert check_exports([tmp_path / EXPORTS[name]], images, expected)


def test_a_format_that_cannot_be_written_is_refused_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require_exporters(list(EXPORTS))
    with pytest.raises(UsageError, match="'pickle' is not an export format"):
        require_exporters(["keras", "pickle"])
    monkeypatch.setattr("concrete_study.models.export.find_spec", lambda name: None)
    require_exporters(["keras", "saved-model"])
    with pytest.raises(UsageError, match="format onnx requires tf2onnx and onnxruntime") as caught:
        require_exporters(["onnx"])
    assert "concrete-study[exports]" in caught.value.hint
