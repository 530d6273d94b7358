"""The plain hypermodel: it trains as a trial on features does, and any tuner accepts it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from shared_networks import small_network

from concrete_study.datasets.batches import Subset, image_batches, subset_of
from concrete_study.datasets.folders import read_folder
from concrete_study.datasets.sample import make_sample
from concrete_study.datasets.splits import split_images
from concrete_study.models.batch_sources import FeatureSource
from concrete_study.models.configuration import Configuration
from concrete_study.models.features import FeatureStore
from concrete_study.models.hypermodel import VGG16HyperModel
from concrete_study.models.network import SCALING, feature_layers_of
from concrete_study.models.recipe import initialize
from concrete_study.search.training import train

pytestmark = pytest.mark.slow

SIZE, BATCH_SIZE, SEED = 32, 8, 5
DOCS = Path(__file__).parents[1] / "docs" / "hypermodel.md"


@pytest.fixture(scope="module")
def subsets(tmp_path_factory: pytest.TempPathFactory) -> list[Subset]:
    root = tmp_path_factory.mktemp("images") / "sample"
    make_sample(root, images=40, size=64)
    folder = read_folder(root)
    rows = split_images(folder.images, seed=1)
    return [subset_of({"": root}, rows, name, folder.classes) for name in ("train", "validation")]


class Order(keras.callbacks.Callback):  # type: ignore[misc]
    """The order of images in each epoch, as the recipe has it."""

    number = 1

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.number = epoch + 1

    def __call__(self, images: int) -> np.ndarray:
        random = np.random.Generator(np.random.Philox(key=[SEED, self.number]))
        return random.permutation(images)


def dataset(subset: Subset, order_of: Callable[[int], np.ndarray] = np.arange) -> tf.data.Dataset:
    """Batches of unaugmented images."""
    images, labels = next(image_batches(subset, size=SIZE, batch_size=len(subset)))

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = order_of(len(labels))
        for start in range(0, len(order), BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            yield images.numpy()[rows], labels[rows]

    signature = (tf.TensorSpec((None, SIZE, SIZE, 3)), tf.TensorSpec((None,), tf.int32))
    unsized = tf.data.Dataset.from_generator(batches, output_signature=signature)
    # Of a dataset of unknown size Keras takes one batch too many, which Adam counts as a step.
    size = tf.data.experimental.assert_cardinality(-(-len(labels) // BATCH_SIZE))
    return unsized.apply(size)


@pytest.mark.parametrize("depth", [0, 2])
def test_a_trial_on_features_ends_with_the_validation_loss_of_the_hypermodel(
    subsets: list[Subset], depth: int
) -> None:
    """Aligned: initial head weights, order of images, unaugmented images, no dropout.

    The learning rate is such that no final probability is below 1e-7, where our validation loss
    has its floor; Keras computes its own from logits, without a floor.
    """
    values = {"head_units": 16, "dropout": 0.0, "unfreeze_depth": depth}
    values |= {"head_learning_rate": 1e-3, "fine_tune_learning_rate": 1e-5}
    network = small_network()
    configuration = Configuration(**values)  # type: ignore[arg-type]
    sources = []
    layers = {
        layer
        for phase in (0, depth)
        for layer in feature_layers_of(configuration.architecture(phase))
    }
    for subset in subsets:
        store = FeatureStore(network, subset, sorted(layers), size=SIZE)
        store.compute(0)
        sources.append(FeatureSource(store, 1))  # every epoch has view 0, unaugmented
    ours = train(
        network,
        configuration,
        epochs=4,
        training=sources[0],
        validation=sources[1],
        seed=SEED,
        batch_size=BATCH_SIZE,
    ).curve

    hp = keras_tuner.HyperParameters()
    for name, value in values.items():
        hp.Fixed(name, value)
    hypermodel = VGG16HyperModel(image_size=SIZE, classes=2, augment=False)
    model = hypermodel.build(hp)
    for name, arrays in initialize(network, configuration, sources[0], SEED).items():
        if name != SCALING:
            model.get_layer(name).set_weights(arrays)
    order = Order()
    history = hypermodel.fit(
        hp,
        model,
        dataset(subsets[0], order),
        validation_data=dataset(subsets[1]),
        epochs=4,
        callbacks=[order],
        verbose=0,
    ).history
    losses = [epoch.loss for epoch in ours]
    assert losses[0] > 1.1 * losses[-1]
    assert history["loss"] == pytest.approx(losses, rel=3e-3)
    assert history["val_loss"][-1] == pytest.approx(ours[-1].val_loss, rel=3e-3)
    assert history["val_accuracy"] == pytest.approx([epoch.val_accuracy for epoch in ours])


def test_the_example_of_the_docs_runs(
    subsets: list[Subset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    example = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert example is not None
    code = example[1].replace("image_size=224", f"image_size={SIZE}")
    code = code.replace("max_epochs=10", "max_epochs=2").replace("[0, 1, 3]", "[1]")
    names = {subset.name: dataset(subset) for subset in subsets}
    scope: dict[str, object] = dict(names)
    exec(code, scope)
    tuner = scope["tuner"]
    assert isinstance(tuner, keras_tuner.Hyperband)
    trials = tuner.oracle.get_best_trials(2)
    assert {trial.status for trial in trials} == {"COMPLETED"}
    assert all(np.isfinite(trial.score) for trial in trials)


def test_a_promoted_trial_skips_the_epochs_of_its_parent() -> None:
    hp = keras_tuner.HyperParameters()
    values = {"head_units": 0, "dropout": 0.0, "unfreeze_depth": 1}
    for name, value in (values | {"head_learning_rate": 1e-3}).items():
        hp.Fixed(name, value)
    hp.Fixed("fine_tune_learning_rate", 1e-5)
    hypermodel = VGG16HyperModel(image_size=SIZE, classes=2)
    images = np.random.default_rng(1).uniform(0, 255, (4, SIZE, SIZE, 3)).astype("float32")
    labels = np.array([0, 1, 1, 0])
    for initial, expected in ((0, 4), (1, 3), (3, 1)):
        history = hypermodel.fit(
            hp,
            hypermodel.build(hp),
            images,
            labels,
            epochs=4,
            initial_epoch=initial,
            verbose=0,
        )
        assert len(history.history["loss"]) == expected
