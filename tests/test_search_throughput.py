import numpy as np
import pytest
from PIL import Image
from shared_networks import small_network

from concrete_study.datasets.batches import Subset
from concrete_study.models.trainable import Network
from concrete_study.search.throughput import (
    StepTimes,
    epoch_forward_passes,
    flops_shares,
    measure_step_times,
)

IMAGES = {"train": 70, "validation": 15}
ALL = ("block5_average", "block5_conv2", "block5_conv1", "block4_pool")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Subset:
    path = tmp_path_factory.mktemp("images") / "grey.png"
    Image.fromarray(np.full((32, 32, 3), 128, np.uint8)).save(path)
    return Subset("train", [path] * 2, np.zeros(2, np.int32), ["0" * 64] * 2, ["no", "yes"])


@pytest.fixture(scope="module")
def network() -> Network:
    return small_network()


def measure(
    network: Network, images: Subset, depths: tuple[int, ...], stored: tuple[str, ...]
) -> StepTimes:
    return measure_step_times(
        network,
        images,
        stored=stored,
        size=32,
        depths=depths,
        units=0,
        batch_size=4,
    )


def test_times_between_depths_follow_from_their_flops(network: Network, images: Subset) -> None:
    times = measure(network, images, (0, 1, 2, 3), ALL)
    assert times.forward_pass > 0
    assert sorted(times.training) == sorted(times.validation) == [0, 1, 2, 3]
    # Forward, gradients of kernels, and of inputs but the lowest: 2, 5 and 8 convolutions.
    assert times.training[1] == pytest.approx(times.training[3] * 2 / 8)
    assert times.training[2] == pytest.approx(times.training[3] * 5 / 8)
    assert times.validation[1] == pytest.approx(times.validation[3] / 3)
    assert 0 < times.training[0] < times.training[3]


def test_a_step_from_a_lower_feature_layer_includes_its_forward_pass(
    network: Network, images: Subset
) -> None:
    times = measure(network, images, (1, 3), ("block5_average", "block4_pool"))
    assert times.training[1] == pytest.approx(times.training[3] * (3 + 1) / 8)
    assert times.validation[1] == pytest.approx(times.validation[3])


def test_features_that_are_not_stored_cost_a_forward_pass_in_every_epoch(
    network: Network, images: Subset
) -> None:
    times = measure(network, images, (0, 1), ())
    assert times.forward_pass > 0
    assert min(times.training[0], times.validation[0], times.validation[1]) > times.forward_pass
    assert times.training[1] > times.forward_pass


def test_a_space_of_heads_alone_is_timed_without_fine_tuning(
    network: Network, images: Subset
) -> None:
    assert list(measure(network, images, (0,), ("block5_average",)).training) == [0]


def test_flops_of_an_epoch_in_forward_passes() -> None:
    stored = ("block5_average", "block4_pool")
    block_5 = sum(flops_shares()[10:])
    assert block_5 == pytest.approx(0.09, abs=0.005)
    assert epoch_forward_passes(0, IMAGES) == 85
    assert epoch_forward_passes(0, IMAGES, stored) == 0
    # Gradients of block 5: three kernels and two inputs, 0.15 of a forward pass.
    assert epoch_forward_passes(3, IMAGES) == pytest.approx(85 + 70 * 0.15, abs=0.5)
    assert epoch_forward_passes(3, IMAGES, stored) == pytest.approx(
        85 * block_5 + 70 * block_5 * 5 / 3
    )
    assert epoch_forward_passes(1, IMAGES, stored) == pytest.approx(85 * block_5 + 70 * block_5 / 3)
    finest = (*stored, "block5_conv2")
    assert epoch_forward_passes(1, IMAGES, finest) == pytest.approx((85 + 70) * block_5 / 3)
    # All 13 convolutions are unfrozen, so no features can be stored.
    assert epoch_forward_passes(13, IMAGES, stored) > 85 + 70 * 1.9
