"""The learners: what they train, what they leave alone, and that they forget."""

import keras
import numpy as np
import pytest

from models.base import CONVOLUTIONS, load_weights
from models.configuration import Configuration
from models.export import trained_model
from models.learner import Network
from models.network import CUTS, build_model, cut_below, cut_shape, unfrozen
from models.precision import Precision, choose_precision

SIZE = 64
IMAGES = np.random.default_rng(3).uniform(0, 255, (4, SIZE, SIZE, 3)).astype("float32")
LABELS = np.array([0, 1, 1, 0], np.int32)


@pytest.fixture(scope="module")
def shared() -> Network:
    return make_network("float32")


@pytest.fixture
def network(shared: Network) -> Network:
    shared.restore()
    return shared


def make_network(precision: str, classes: int = 2) -> Network:
    return Network(
        load_weights("bundled"), size=SIZE, classes=classes, precision=choose_precision(precision)
    )


@pytest.mark.parametrize(
    ("depth", "cut"),
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
def test_the_cut_is_the_nearest_one_below_what_is_unfrozen(depth: int, cut: str) -> None:
    assert cut_below(depth) == cut
    assert len(unfrozen(depth)) == depth


@pytest.mark.parametrize("cut", CUTS)
def test_the_layers_above_a_cut_give_the_whole_networks_answer(network: Network, cut: str) -> None:
    """At every cut, features rounded to float16 as they are stored."""
    features = network.lower((cut,))(IMAGES)[0].numpy()
    assert features.shape[1:] == cut_shape(cut, SIZE)
    stored = features.astype(np.float16) if cut != "image" else features
    depth = {c: d for d in range(14) for c in [cut_below(d)]}[cut]
    learner = network.learner(64, depth)
    network.restore()
    learner.head.start(5)
    configuration = Configuration(
        head_units=64, dropout=0.3, unfreeze_depth=depth, head_learning_rate=1e-3
    )
    weights = learner.weights()
    whole = trained_model(configuration, network.weights, weights, size=SIZE, classes=2)
    expected = whole(IMAGES, training=False).numpy()
    np.testing.assert_allclose(learner.predict(stored), expected, atol=2e-3)


@pytest.mark.parametrize("depth", [0, 1, 3, 5, 13])
def test_a_step_changes_what_is_unfrozen_and_nothing_else(network: Network, depth: int) -> None:
    network.restore()
    learner = network.learner(64, depth)
    learner.head.start(1)
    learner.start(1e-3)
    before = all_weights(network, learner.head.layers)
    features = network.lower((learner.cut,))(IMAGES)[0]
    learner.step(features, LABELS, dropout=0.2, seed=1, step=0)
    after = all_weights(network, learner.head.layers)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {*unfrozen(depth), "dense", "probabilities"}


def all_weights(network: Network, head: list[keras.Layer]) -> dict[str, np.ndarray]:
    layers = [network.base.get_layer(name) for name in CONVOLUTIONS] + head
    return {layer.name: layer.kernel.numpy().copy() for layer in layers}


def test_a_started_learner_remembers_nothing(network: Network) -> None:
    learner = network.learner(0, 2)
    features = network.lower((learner.cut,))(IMAGES)[0]

    def run() -> np.ndarray:
        network.restore()
        learner.head.start(2)
        learner.start(1e-4)
        for step in range(3):
            learner.step(features, LABELS, dropout=0.5, seed=2, step=step)
        return learner.predict(features)

    first = run()
    np.testing.assert_array_equal(run(), first)


def test_dropout_depends_on_seed_and_step_and_is_off_at_rate_0(network: Network) -> None:
    learner = network.learner(0, 0)
    features = network.lower(("pooled",))(IMAGES)[0]
    learner.head.start(1)

    def loss(rate: float, seed: int, step: int) -> float:
        learner.start(0.0)  # learning rate 0: the weights stay
        return float(learner.step(features, LABELS, dropout=rate, seed=seed, step=step)[0])

    assert loss(0.0, 1, 0) == loss(0.0, 2, 7)
    assert loss(0.5, 1, 0) == loss(0.5, 1, 0) != loss(0.5, 1, 1)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains_and_stays_near_float32(network: Network, precision: str) -> None:
    half = make_network(precision)
    exact = network.lower(("pooled",))(IMAGES)[0].numpy()
    rounded = half.lower(("pooled",))(IMAGES)[0].numpy()
    assert np.abs(rounded - exact).max() < 0.05 * np.abs(exact).max()
    learner = half.learner(0, 1)
    features = half.lower((learner.cut,))(IMAGES)[0]
    learner.head.start(1)
    learner.start(1e-5)
    losses = [
        float(learner.step(features, LABELS, dropout=0.0, seed=1, step=s)[0]) for s in range(5)
    ]
    assert losses[-1] < losses[0]


def test_the_hypermodel_builder_freezes_all_but_the_unfreeze_depth() -> None:
    """The seed's figures: 7,079,424 of the base's 14,714,688 parameters at depth 3."""
    configuration = Configuration(
        head_units=0, dropout=0.3, unfreeze_depth=3, head_learning_rate=5e-5
    )
    model = build_model(configuration, load_weights("bundled"), size=SIZE, classes=2)
    base = [layer for layer in model.layers if layer.name in CONVOLUTIONS and layer.trainable]
    assert sum(layer.count_params() for layer in base) == 7_079_424
    assert {layer.__class__.__module__.split(".")[0] for layer in model.layers} == {"keras"}


def test_auto_precision_says_why() -> None:
    chosen = choose_precision("auto")
    assert chosen.name in ("float32", "bfloat16")
    assert "processor" in chosen.reason or "GPU" in chosen.reason
    assert choose_precision("float16") == Precision("float16", "as asked")
