"""A training on disk: what is kept, and that it continues bit for bit."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from random_features import RandomFeatures, configuration
from shared_networks import small_network

from concrete_study.datasets.files import replacing
from concrete_study.models.configuration import Architecture
from concrete_study.models.trainable import Network
from concrete_study.results.records import Epoch
from concrete_study.search.training import Outcome, train
from concrete_study.study import saved_training
from concrete_study.study.saved_training import TrainingFile

pytestmark = pytest.mark.slow

EPOCHS = 5  # 3 on the head, 2 of fine-tuning


@pytest.fixture(scope="module")
def network() -> Network:
    return small_network()


def trained(
    network: Network, file: TrainingFile, on_epoch: Callable[[Epoch], None] = lambda epoch: None
) -> Outcome:
    return train(
        network,
        configuration(2),
        epochs=EPOCHS,
        training=RandomFeatures(20, 1),
        validation=RandomFeatures(8, 2),
        seed=1,
        batch_size=8,
        on_epoch=on_epoch,
        earlier=file.load(),
        on_outcome=file.update,
    )


@pytest.fixture(scope="module")
def whole(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return trained(network, TrainingFile(tmp_path_factory.mktemp("whole") / "file", "key"))


def assert_same(one: Outcome, other: Outcome) -> None:
    assert one[:2] == other[:2]
    assert list(one.checkpoints) == list(other.checkpoints)
    for checkpoint, weights in one.checkpoints.items():
        for layer, arrays in weights.items():
            np.testing.assert_array_equal(arrays[0], other.checkpoints[checkpoint][layer][0])
            np.testing.assert_array_equal(arrays[1], other.checkpoints[checkpoint][layer][1])
    for array, same in zip(one.optimizer, other.optimizer, strict=True):
        np.testing.assert_array_equal(array, same)


@pytest.mark.parametrize("last", range(1, EPOCHS + 1))
def test_a_training_continues_bit_for_bit_after_any_epoch(
    network: Network, whole: Outcome, last: int, tmp_path: Path
) -> None:
    def interrupt(epoch: Epoch) -> None:
        if epoch.epoch == last:
            raise KeyboardInterrupt

    file = TrainingFile(tmp_path / "file", "key")
    with pytest.raises(KeyboardInterrupt):
        trained(network, file, interrupt)
    file.save()
    network.trainable(Architecture(16, 2)).start(1.0)  # another training in between has no effect
    again = TrainingFile(file.path, "key")
    epochs: list[Epoch] = []
    assert_same(trained(network, again, epochs.append), whole)
    assert [epoch.epoch for epoch in epochs] == list(range(last + 1, EPOCHS + 1))
    assert again.seconds > 0


def test_a_file_of_another_key_or_with_damage_is_not_used(whole: Outcome, tmp_path: Path) -> None:
    key = repr(("0003", 0.1 + 0.2))
    file = TrainingFile(tmp_path / "file", key)
    assert file.load() is None
    file.update(whole)
    again = TrainingFile(file.path, key).load()
    assert again is not None
    assert_same(again, whole)
    assert TrainingFile(file.path, repr(("0004", 0.1 + 0.2))).load() is None
    content = file.path.read_bytes()
    for size in (0, 10, 1000, len(content) // 2, len(content) - 1):
        file.path.write_bytes(content[:size])
        assert TrainingFile(file.path, key).load() is None


def test_a_file_that_takes_long_to_write_is_not_written_after_every_epoch(
    whole: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def write_slowly(path: Path) -> object:
        now[0] += 1  # second
        return replacing(path)

    monkeypatch.setattr(saved_training, "replacing", write_slowly)
    file, written = TrainingFile(tmp_path / "file", "key"), []
    for number in range(1, 60):
        now[0] += 2
        curve = [whole.curve[0]] * number
        file.update(whole._replace(curve=curve))
        written.append(file.epochs)
    assert written[:3] == [1, 1, 1]
    assert len(set(written)) == 6
    file.save()  # at an interruption
    assert file.epochs == 59
