"""The trainable parts: what they train, what they leave unchanged, and that they reset."""

import math
from typing import Any

import keras
import numpy as np
import pytest
from shared_networks import load_weights, small_network, with_random_output

from concrete_study.models.backbone import CONVOLUTIONS
from concrete_study.models.configuration import Architecture, Configuration
from concrete_study.models.export import trained_model
from concrete_study.models.network import (
    build_model,
    feature_layer_below,
    feature_shape,
    unfrozen,
)
from concrete_study.models.precision import Precision, choose_precision
from concrete_study.models.steps import StepOptions
from concrete_study.models.trainable import Network, TrainablePart

SIZE = 64
IMAGES = np.random.default_rng(3).uniform(0, 255, (4, SIZE, SIZE, 3)).astype("float32")
LABELS = np.array([0, 1, 1, 0], np.int32)


@pytest.fixture
def network() -> Network:
    return small_network()


@pytest.mark.parametrize(
    ("depth", "feature_layer"),
    [
        (0, None),
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
    depth: int, feature_layer: str | None
) -> None:
    assert feature_layer_below(depth) == feature_layer
    assert len(unfrozen(depth)) == depth


@pytest.mark.parametrize("scaling", ["none", "square-root", "standardised"])
@pytest.mark.parametrize(
    ("depth", "layers", "pooling"),
    [
        *((depth, "block5", "average") for depth in (0, 1, 2, 3, 4, 9, 10, 13)),
        *((depth, "block4+5", "average") for depth in (0, 2, 4)),
        *((depth, "block3+4+5", "max") for depth in (0, 1, 6, 13)),
    ],
)
def test_frozen_backbone_and_trainable_part_predict_as_the_whole_network(
    network: Network, depth: int, layers: str, pooling: str, scaling: str
) -> None:
    """At every feature layer, with features rounded to float16 as they are stored."""
    configuration = Configuration(
        head_units=64,
        dropout=0.3,
        unfreeze_depth=depth,
        head_learning_rate=1e-3,
        image_size=SIZE,
        feature_layers=layers,
        feature_scaling=scaling,
        pooling=pooling,
    )
    trainable = network.trainable(configuration.architecture(depth))
    stored = []
    for layer in trainable.feature_layers:
        features = network.frozen_backbone((layer,))(IMAGES)[0].numpy()
        assert features.shape[1:] == feature_shape(layer, SIZE)
        stored.append(features if layer == "image" else features.astype(np.float16))
    start(trainable, 5)
    pooled = np.random.default_rng(1).uniform(0, 9, (8, trainable.head.width))
    trainable.head.adapt(pooled.astype(np.float32))
    whole = trained_model(configuration, network.weights, trainable.weights(), classes=2)
    expected = whole(IMAGES, training=False).numpy()
    np.testing.assert_allclose(trainable.predict(tuple(stored)), expected, atol=2e-3)


def start(trainable: TrainablePart, seed: int) -> None:
    """Draws all weights of the head: from 0, the first step would change the output layer alone."""
    trainable.head.start(seed)
    trainable.load(with_random_output(trainable.weights()))


@pytest.mark.parametrize("depth", [0, 1, 3, 5, 13])
def test_a_step_changes_what_is_unfrozen_and_nothing_else(network: Network, depth: int) -> None:
    network.restore()
    trainable = network.trainable(Architecture(64, depth))
    start(trainable, 1)
    trainable.start(1e-3)
    before = all_weights(network, trainable.head.layers)
    features = network.frozen_backbone(trainable.feature_layers)(IMAGES)
    trainable.step(features, LABELS, StepOptions(0.2, 1, 0))
    after = all_weights(network, trainable.head.layers)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {*unfrozen(depth), "dense", "probabilities"}


def all_weights(network: Network, head: list[keras.Layer]) -> dict[str, np.ndarray]:
    layers = [network.backbone.get_layer(name) for name in CONVOLUTIONS] + head
    return {layer.name: layer.kernel.numpy().copy() for layer in layers}


def test_a_head_starts_with_equal_probabilities(network: Network) -> None:
    network.restore()
    trainable = network.trainable(Architecture(64, 0))
    trainable.head.start(1)
    features = network.frozen_backbone(trainable.feature_layers)(IMAGES)
    np.testing.assert_array_equal(trainable.predict(features), 0.5)


def test_starting_resets_the_optimizer(network: Network) -> None:
    trainable = network.trainable(Architecture(0, 2))
    features = network.frozen_backbone(trainable.feature_layers)(IMAGES)

    def run() -> np.ndarray:
        network.restore()
        start(trainable, 2)
        trainable.start(1e-4)
        for step in range(3):
            trainable.step(features, LABELS, StepOptions(0.5, 2, step))
        return trainable.predict(features)

    first = run()
    np.testing.assert_array_equal(run(), first)


def test_dropout_depends_on_seed_and_step_and_has_no_effect_at_0(network: Network) -> None:
    trainable = network.trainable(Architecture(0, 0))
    features = network.frozen_backbone(("block5_average",))(IMAGES)
    start(trainable, 1)

    def loss(rate: float, seed: int, step: int) -> float:
        trainable.start(0.0)  # learning rate 0: the weights stay
        return float(trainable.step(features, LABELS, StepOptions(rate, seed, step))[0])

    assert loss(0.0, 1, 0) == loss(0.0, 2, 7)
    assert loss(0.5, 1, 0) == loss(0.5, 1, 0) != loss(0.5, 1, 1)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains_and_stays_near_float32(network: Network, precision: str) -> None:
    half = small_network(precision=precision)
    exact = network.frozen_backbone(("block5_average",))(IMAGES)[0].numpy()
    rounded = half.frozen_backbone(("block5_average",))(IMAGES)[0].numpy()
    assert np.abs(rounded - exact).max() < 0.05 * np.abs(exact).max()
    trainable = half.trainable(Architecture(0, 1))
    features = half.frozen_backbone(trainable.feature_layers)(IMAGES)
    start(trainable, 1)
    trainable.start(1e-5)
    losses = [float(trainable.step(features, LABELS, StepOptions(0.0, 1, s))[0]) for s in range(5)]
    assert losses[-1] < losses[0]


def test_the_whole_network_is_frozen_below_the_unfreeze_depth() -> None:
    """As in the reference recipe: 7,079,424 of 14,714,688 parameters train at depth 3."""
    configuration = Configuration(
        head_units=0, dropout=0.3, unfreeze_depth=3, head_learning_rate=5e-5, image_size=SIZE
    )
    model = build_model(configuration, load_weights("bundled"), classes=2)
    trained = [layer for layer in model.layers if layer.name in CONVOLUTIONS and layer.trainable]
    assert sum(layer.count_params() for layer in trained) == 7_079_424
    assert {layer.__class__.__module__.split(".")[0] for layer in model.layers} == {"keras"}


def test_weights_that_are_not_finite_are_found(network: Network) -> None:
    """oneDNN's ReLU and pooling turn NaN into 0, so the loss alone does not show it."""
    network.restore()
    trainable = network.trainable(Architecture(16, 1))
    start(trainable, 1)
    assert trainable.is_finite()
    bias = trainable.trained[0].bias
    bias.assign(np.full(bias.shape, math.nan))
    assert not trainable.is_finite()


def test_a_step_on_images_of_another_size_uses_the_same_architecture(network: Network) -> None:
    trainable = network.trainable(Architecture(0, 1))
    start(trainable, 1)
    trainable.start(1e-4)
    for size in (32, 64, 96):
        images = np.full((2, size, size, 3), 100, np.float32)
        features = network.frozen_backbone(trainable.feature_layers)(images)
        loss, _ = trainable.step(features, LABELS[:2], StepOptions(0.0, 1, 0))
        assert math.isfinite(float(loss))


def test_weight_decay_label_smoothing_and_class_weights_change_a_step_as_keras_does(
    network: Network,
) -> None:
    """One step of plain SGD-like size: Adam's first step moves by the sign of the gradient."""
    trainable = network.trainable(Architecture(0, 0))
    features = network.frozen_backbone(trainable.feature_layers)(IMAGES)
    inputs = features[0].numpy()

    def trained(**options: Any) -> np.ndarray:
        start(trainable, 1)
        trainable.start(1e-3)
        for step in range(5):
            trainable.step(features, LABELS, StepOptions(0.0, 1, step, **options))
        return np.array(trainable.head.layers[-1].kernel)

    def expected(
        weight_decay: float = 0.0, smoothing: float = 0.0, weights: dict[int, float] | None = None
    ) -> np.ndarray:
        start(trainable, 1)
        kernel = trainable.head.layers[-1].kernel.numpy().copy()
        dense = keras.layers.Dense(2)
        model = keras.Sequential([keras.Input((512,)), dense])
        dense.set_weights([kernel, np.zeros(2)])
        optimizer = keras.optimizers.AdamW(1e-3, weight_decay=weight_decay)
        optimizer.exclude_from_weight_decay(var_list=[dense.bias])
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
        model.compile(optimizer, loss)
        model.fit(
            inputs,
            keras.utils.to_categorical(LABELS),
            epochs=5,
            shuffle=False,
            class_weight=weights,
            verbose=0,
        )
        return np.array(dense.kernel)

    plain = trained()
    for ours, keras_own in (
        (plain, expected()),
        (trained(weight_decay=0.5), expected(weight_decay=0.5)),
        (trained(label_smoothing=0.3), expected(smoothing=0.3)),
        (trained(class_weights=(0.2, 3.0)), expected(weights={0: 0.2, 1: 3.0})),
    ):
        np.testing.assert_allclose(ours, keras_own, atol=2e-6)
    assert np.abs(plain - trained(weight_decay=0.5)).max() > 1e-5
    assert np.abs(plain - trained(label_smoothing=0.3)).max() > 1e-5
    assert np.abs(plain - trained(class_weights=(0.2, 3.0))).max() > 1e-5


def test_auto_precision_says_why() -> None:
    chosen = choose_precision("auto")
    assert chosen.name in ("float32", "bfloat16")
    assert "CPU" in chosen.reason or "GPU" in chosen.reason
    assert choose_precision("float16") == Precision("float16", "as requested")
