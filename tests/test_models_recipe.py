"""The recipe: how epochs are shared out, what is kept, and when it gives up."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from concrete_study.datasets.batches import Subset
from concrete_study.datasets.errors import ResourceError, UsageError
from concrete_study.models.backbone import load_weights
from concrete_study.models.batch_sources import Batch
from concrete_study.models.configuration import Configuration
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
from concrete_study.models.network import FEATURE_LAYERS, feature_shape
from concrete_study.models.precision import choose_precision
from concrete_study.models.recipe import DivergedError, Epoch, best_epoch, plan_phases, train
from concrete_study.models.trainable import Network
from concrete_study.study.saved_training import load_outcome, save_outcome

SIZE = 32


class ArraySource:
    """Features of noise: class 1 is brighter, so there is something to learn."""

    def __init__(self, count: int, seed: int) -> None:
        labels = np.arange(count, dtype=np.int32) % 2
        self.subset = Subset("made", [Path()] * count, labels, [""] * count, ["no", "yes"])
        random = np.random.default_rng(seed)
        self.features = {
            feature_layer: (
                random.uniform(0, 1, (count, *feature_shape(feature_layer, SIZE)))
            ).astype("float32")
            for feature_layer in FEATURE_LAYERS
        }
        for array in self.features.values():
            array[labels == 1] *= 1.5

    def batches(
        self, feature_layer: str, *, epoch: int, order: NDArray[np.int64], batch_size: int
    ) -> Iterator[Batch]:
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            yield self.features[feature_layer][rows], self.subset.labels[rows]


class BrokenSource(ArraySource):
    """Gives no numbers from the second epoch on."""

    def batches(
        self, feature_layer: str, *, epoch: int, order: NDArray[np.int64], batch_size: int
    ) -> Iterator[Batch]:
        for features, labels in super().batches(
            feature_layer, epoch=epoch, order=order, batch_size=batch_size
        ):
            yield features * (math.nan if epoch > 1 else 1.0), labels


@pytest.fixture(scope="module")
def network() -> Network:
    weights = load_weights("bundled")
    return Network(weights, size=SIZE, classes=2, precision=choose_precision("float32"))


def configuration(depth: int, rate: float = 1e-3) -> Configuration:
    return Configuration(
        head_units=16,
        dropout=0.2,
        unfreeze_depth=depth,
        head_learning_rate=rate,
        fine_tune_learning_rate=1e-5,
    )


@pytest.mark.parametrize(
    ("depth", "epochs", "expected"),
    [
        (3, 10, [(1, 5), (2, 5)]),
        (3, 7, [(1, 4), (2, 3)]),
        (1, 2, [(1, 1), (2, 1)]),
        (1, 1, [(1, 1)]),
        (0, 7, [(1, 7)]),
    ],
)
def test_a_rung_is_the_whole_recipe_in_miniature(
    depth: int, epochs: int, expected: list[tuple[int, int]]
) -> None:
    phases = plan_phases(configuration(depth), epochs)
    assert [(phase.number, phase.epochs) for phase in phases] == expected


def test_no_epochs_is_refused() -> None:
    with pytest.raises(ValueError, match="epochs=0"):
        plan_phases(configuration(0), 0)


def test_the_same_seed_gives_the_same_curve_and_another_seed_another(network: Network) -> None:
    def curve(seed: int) -> list[Epoch]:
        return train(
            network,
            configuration(1),
            epochs=3,
            training=ArraySource(20, 1),
            validation=ArraySource(8, 2),
            seed=seed,
        ).curve

    first = curve(1)
    curve(2)
    assert curve(1) == first != curve(2)
    assert [epoch.phase for epoch in first] == [1, 1, 2]


def test_a_trial_leaves_nothing_behind_for_the_next(network: Network) -> None:
    def curve(depth: int) -> list[Epoch]:
        return train(
            network,
            configuration(depth),
            epochs=2,
            training=ArraySource(20, 1),
            validation=ArraySource(8, 2),
            seed=1,
        ).curve

    alone = curve(2)
    curve(13)
    assert curve(2) == alone


def test_the_kept_weights_are_those_of_the_best_epoch(network: Network) -> None:
    validation = ArraySource(8, 2)
    outcome = train(
        network,
        configuration(3, rate=0.05),
        epochs=6,
        training=ArraySource(20, 1),
        validation=validation,
        seed=1,
        keep_weights=True,
    )
    assert list(outcome.checkpoints) == [
        "before_training",
        "after_phase_1",
        "after_phase_2",
        "best",
    ]
    network.restore()
    phase = outcome.curve[outcome.best_epoch - 1].phase
    trainable = network.trainable(16, 3 if phase == 2 else 0)
    trainable.load(outcome.checkpoints["best"])
    probabilities = trainable.predict(validation.features[trainable.feature_layer])
    right = probabilities[np.arange(8), validation.subset.labels]
    loss = -np.log(np.maximum(right, 1e-7)).mean()
    assert loss == pytest.approx(min(e.val_loss for e in outcome.curve), rel=1e-5)


def test_ties_go_to_the_earlier_epoch() -> None:
    curve = [Epoch(n, 1, 0.5, 0.5, loss, 0.9, 0.9) for n, loss in enumerate((0.3, 0.2, 0.2), 1)]
    assert best_epoch(curve, "val_loss") == 2
    assert best_epoch(curve, "val_accuracy") == 1


def test_a_loss_that_is_not_finite_ends_the_trial_with_the_curve_before(network: Network) -> None:
    with pytest.raises(DivergedError, match="epoch 2") as error:
        train(
            network,
            configuration(0),
            epochs=3,
            training=BrokenSource(20, 1),
            validation=ArraySource(8, 2),
            seed=1,
        )
    assert [epoch.epoch for epoch in error.value.curve] == [1]


def test_weights_that_are_not_finite_are_found_without_the_loss(network: Network) -> None:
    """oneDNN's rectifier and pooling turn NaN into 0, so the loss alone would not tell."""
    network.restore()
    trainable = network.trainable(16, 1)
    trainable.head.start(1)
    assert trainable.is_finite()
    bias = trainable.trained[0].bias
    bias.assign(np.full(bias.shape, math.nan))
    assert not trainable.is_finite()


def test_exports_predict_as_the_trained_network_in_a_fresh_process(
    network: Network, tmp_path: Path
) -> None:
    outcome = train(
        network,
        configuration(3),
        epochs=2,
        training=ArraySource(20, 1),
        validation=ArraySource(8, 2),
        seed=1,
        keep_weights=True,
    )
    final = outcome.checkpoints["best"]
    model = trained_model(configuration(3), network.weights, final, size=SIZE, classes=2)
    model.save(tmp_path / KERAS_FILE)
    export_model(tmp_path / KERAS_FILE, tmp_path, list(EXPORTS))
    images = np.random.default_rng(1).uniform(0, 255, (3, SIZE, SIZE, 3)).astype("float32")
    expected = model(images, training=False).numpy().astype(np.float64)
    exports = [tmp_path / name for name in EXPORTS.values()]
    differences = check_exports(exports, images, expected)
    assert differences.keys() == set(EXPORTS.values())
    for wrong in (np.full_like(expected, np.nan), 1 - expected):
        with pytest.raises(ResourceError, match="something else"):
            check_exports(exports[:1], images, wrong)
    table = [line for line in summary_text(model).splitlines() if line and line[0] in "┏┃│└"]
    assert len({len(line) for line in table}) == 1
    assert "…" not in "".join(table)
    assert parameter_counts(model, 3) == {
        "phase_1": {"trainable": 8242, "non_trainable": 14_714_688},
        "phase_2": {"trainable": 7_079_424 + 8242, "non_trainable": 7_635_264},
    }


def test_a_format_that_cannot_be_written_is_refused_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require_exporters(list(EXPORTS))
    with pytest.raises(UsageError, match="--format pickle is unknown"):
        require_exporters(["keras", "pickle"])
    monkeypatch.setattr("concrete_study.models.export.find_spec", lambda name: None)
    require_exporters(["keras", "saved-model"])
    with pytest.raises(UsageError, match="--format onnx needs tf2onnx and onnxruntime") as caught:
        require_exporters(["onnx"])
    assert "concrete-study[exports]" in caught.value.hint


def test_a_finished_training_is_found_again_by_its_key_alone(
    network: Network, tmp_path: Path
) -> None:
    outcome = train(
        network,
        configuration(1),
        epochs=2,
        training=ArraySource(20, 1),
        validation=ArraySource(8, 2),
        seed=1,
        keep_weights=True,
    )
    key = "trial 0003"
    save_outcome(tmp_path / "training.npz", outcome, key)
    again = load_outcome(tmp_path / "training.npz", key)
    assert again is not None
    assert again[:2] == outcome[:2]
    assert list(again.checkpoints) == list(outcome.checkpoints)
    for checkpoint, weights in outcome.checkpoints.items():
        for layer, arrays in weights.items():
            for one, other in zip(arrays, again.checkpoints[checkpoint][layer], strict=True):
                np.testing.assert_array_equal(one, other)
    assert load_outcome(tmp_path / "training.npz", "trial 0004") is None
    assert load_outcome(tmp_path / "none.npz", key) is None
