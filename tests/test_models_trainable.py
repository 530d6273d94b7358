"""The trainable parts: what they train, what they leave unchanged, and that they reset."""

import math

import keras
import numpy as np
import pytest
from shared_networks import load_weights, small_network

from concrete_study.models.backbone import CONVOLUTIONS
from concrete_study.models.configuration import Configuration
from concrete_study.models.export import trained_model
from concrete_study.models.network import (
    FEATURE_LAYERS,
    build_model,
    feature_layer_below,
    feature_shape,
    unfrozen,
)
from concrete_study.models.precision import Precision, choose_precision
from concrete_study.models.trainable import Network

SIZE = 64
IMAGES = np.random.default_rng(3).uniform(0, 255, (4, SIZE, SIZE, 3)).astype("float32")
LABELS = np.array([0, 1, 1, 0], np.int32)


@pytest.fixture
def network() -> Network:
    return small_network(size=SIZE)


@pytest.mark.parametrize(
    ("depth", "feature_layer"),
    [
        (0, "pooled"),
        (1, "block5_conv2"),
        (2, "block5_conv1"),
        (3, "block4_pool"),
        (4, "block3_pool"),
        (6, "block3_pool"),
        (7, "block2_pool"),
        (9, "block2_pool"),
        (10, "block1_pool"),
        (11, "block1_pool"),
        (12, "image"),
        (13, "image"),
    ],
)
def test_the_feature_layer_is_the_nearest_one_below_the_unfrozen_layers(
    depth: int, feature_layer: str
) -> None:
    assert feature_layer_below(depth) == feature_layer
    assert len(unfrozen(depth)) == depth


@pytest.mark.parametrize("feature_layer", FEATURE_LAYERS)
def test_frozen_backbone_and_trainable_part_predict_as_the_whole_network(
    network: Network, feature_layer: str
) -> None:
    """At every feature layer, with features rounded to float16 as they are stored."""
    features = network.frozen_backbone((feature_layer,))(IMAGES)[0].numpy()
    assert features.shape[1:] == feature_shape(feature_layer, SIZE)
    stored = features.astype(np.float16) if feature_layer != "image" else features
    depth = {feature_layer_below(depth): depth for depth in range(14)}[feature_layer]
    trainable = network.trainable(64, depth)
    network.restore()
    trainable.head.start(5)
    configuration = Configuration(
        head_units=64, dropout=0.3, unfreeze_depth=depth, head_learning_rate=1e-3
    )
    weights = trainable.weights()
    whole = trained_model(configuration, network.weights, weights, size=SIZE, classes=2)
    expected = whole(IMAGES, training=False).numpy()
    np.testing.assert_allclose(trainable.predict(stored), expected, atol=2e-3)


@pytest.mark.parametrize("depth", [0, 1, 3, 5, 13])
def test_a_step_changes_what_is_unfrozen_and_nothing_else(network: Network, depth: int) -> None:
    network.restore()
    trainable = network.trainable(64, depth)
    trainable.head.start(1)
    trainable.start(1e-3)
    before = all_weights(network, trainable.head.layers)
    features = network.frozen_backbone((trainable.feature_layer,))(IMAGES)[0]
    trainable.step(features, LABELS, dropout=0.2, seed=1, step=0)
    after = all_weights(network, trainable.head.layers)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {*unfrozen(depth), "dense", "probabilities"}


def all_weights(network: Network, head: list[keras.Layer]) -> dict[str, np.ndarray]:
    layers = [network.backbone.get_layer(name) for name in CONVOLUTIONS] + head
    return {layer.name: layer.kernel.numpy().copy() for layer in layers}


def test_starting_resets_the_optimizer(network: Network) -> None:
    trainable = network.trainable(0, 2)
    features = network.frozen_backbone((trainable.feature_layer,))(IMAGES)[0]

    def run() -> np.ndarray:
        network.restore()
        trainable.head.start(2)
        trainable.start(1e-4)
        for step in range(3):
            trainable.step(features, LABELS, dropout=0.5, seed=2, step=step)
        return trainable.predict(features)

    first = run()
    np.testing.assert_array_equal(run(), first)


def test_dropout_depends_on_seed_and_step_and_has_no_effect_at_0(network: Network) -> None:
    trainable = network.trainable(0, 0)
    features = network.frozen_backbone(("pooled",))(IMAGES)[0]
    trainable.head.start(1)

    def loss(rate: float, seed: int, step: int) -> float:
        trainable.start(0.0)  # learning rate 0: the weights stay
        return float(trainable.step(features, LABELS, dropout=rate, seed=seed, step=step)[0])

    assert loss(0.0, 1, 0) == loss(0.0, 2, 7)
    assert loss(0.5, 1, 0) == loss(0.5, 1, 0) != loss(0.5, 1, 1)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains_and_stays_near_float32(network: Network, precision: str) -> None:
    half = small_network(size=SIZE, precision=precision)
    exact = network.frozen_backbone(("pooled",))(IMAGES)[0].numpy()
    rounded = half.frozen_backbone(("pooled",))(IMAGES)[0].numpy()
    assert np.abs(rounded - exact).max() < 0.05 * np.abs(exact).max()
    trainable = half.trainable(0, 1)
    features = half.frozen_backbone((trainable.feature_layer,))(IMAGES)[0]
    trainable.head.start(1)
    trainable.start(1e-5)
    losses = [
        float(trainable.step(features, LABELS, dropout=0.0, seed=1, step=s)[0]) for s in range(5)
    ]
    assert losses[-1] < losses[0]


def test_the_whole_network_is_frozen_below_the_unfreeze_depth() -> None:
    """As in the reference recipe: 7,079,424 of 14,714,688 parameters train at depth 3."""
    configuration = Configuration(
        head_units=0, dropout=0.3, unfreeze_depth=3, head_learning_rate=5e-5
    )
    model = build_model(configuration, load_weights("bundled"), size=SIZE, classes=2)
    trained = [layer for layer in model.layers if layer.name in CONVOLUTIONS and layer.trainable]
    assert sum(layer.count_params() for layer in trained) == 7_079_424
    assert {layer.__class__.__module__.split(".")[0] for layer in model.layers} == {"keras"}


def test_weights_that_are_not_finite_are_found(network: Network) -> None:
    """oneDNN's ReLU and pooling turn NaN into 0, so the loss alone does not show it."""
    network.restore()
    trainable = network.trainable(16, 1)
    trainable.head.start(1)
    assert trainable.is_finite()
    bias = trainable.trained[0].bias
    bias.assign(np.full(bias.shape, math.nan))
    assert not trainable.is_finite()


def test_auto_precision_says_why() -> None:
    chosen = choose_precision("auto")
    assert chosen.name in ("float32", "bfloat16")
    assert "CPU" in chosen.reason or "GPU" in chosen.reason
    assert choose_precision("float16") == Precision("float16", "as requested")
