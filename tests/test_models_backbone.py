"""The backbone: VGG16 as in Keras, but for RGB, with checked weights."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import keras
import numpy as np
import pytest

from concrete_study.datasets.errors import ResourceError, UsageError
from concrete_study.models import backbone
from concrete_study.models.backbone import BUNDLED, CONVOLUTIONS, build_backbone, load_weights


@pytest.fixture(scope="module")
def weights() -> backbone.BackboneWeights:
    return load_weights("bundled")


def test_the_backbone_equals_keras_vgg16_with_its_own_preprocessing(
    weights: backbone.BackboneWeights,
) -> None:
    images = np.random.default_rng(1).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    reference = keras.applications.VGG16(include_top=False, weights=None)
    reference.load_weights(BUNDLED)
    prepared = keras.applications.vgg16.preprocess_input(images.copy())
    ours = build_backbone(weights, size=64)
    np.testing.assert_allclose(
        ours(images).numpy(), reference(prepared).numpy(), rtol=1e-4, atol=1e-3
    )
    assert ours.count_params() == 14_714_688


def test_the_bundled_weights_have_the_published_imagenet_statistics(
    weights: backbone.BackboneWeights,
) -> None:
    kernel, bias = weights.layers["block1_conv1"]
    assert kernel.mean() == pytest.approx(-0.0024379087, abs=1e-5)
    assert bias.mean() == pytest.approx(0.5013912, abs=1e-6)
    kernel, bias = weights.layers["block5_conv3"]
    assert kernel.std() == pytest.approx(0.008478405, abs=1e-6)
    assert bias.max() == pytest.approx(9.431553, abs=1e-5)


def test_a_damaged_bundled_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / BUNDLED.name
    damaged.write_bytes(BUNDLED.read_bytes()[:-1] + b"!")
    monkeypatch.setattr(backbone, "BUNDLED", damaged)
    with pytest.raises(ResourceError, match="damaged"):
        load_weights("bundled")


def test_a_weights_file_gives_the_same_weights_as_the_bundled_one(
    tmp_path: Path, weights: backbone.BackboneWeights
) -> None:
    own = tmp_path / "own.weights.h5"
    own.write_bytes(BUNDLED.read_bytes())
    assert load_weights(str(own)).sha256 == weights.sha256


@pytest.mark.parametrize("content", [None, b"text", "other"])
def test_a_file_that_is_not_vgg16_is_refused(tmp_path: Path, content: bytes | str | None) -> None:
    file = tmp_path / "other.weights.h5"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content:
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(file)
    with pytest.raises(UsageError, match="weights"):
        load_weights(str(file))


def test_random_weights_depend_on_the_seed_alone() -> None:
    first, again, other = (load_weights("none", seed=seed) for seed in (1, 1, 2))
    assert first.sha256 == again.sha256 != other.sha256
    assert set(first.layers) == set(CONVOLUTIONS)


def test_images_under_32_pixels_are_refused(weights: backbone.BackboneWeights) -> None:
    with pytest.raises(UsageError, match="31"):
        build_backbone(weights, size=31)


@pytest.mark.parametrize("status", [404, 200], ids=["refused", "another file"])
def test_a_failed_download_of_keras_weights_is_one_clear_error(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras' own download, from a local server that has no such file, or a wrong one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"not the weights")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/vgg16.h5"
    monkeypatch.setattr("keras.src.applications.vgg16.WEIGHTS_PATH_NO_TOP", address)
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    with pytest.raises(ResourceError, match="download"):
        load_weights("keras")
    server.shutdown()
