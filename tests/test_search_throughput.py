import numpy as np
import pytest
from PIL import Image

from concrete_study.datasets.batches import Subset
from concrete_study.models.backbone import load_weights
from concrete_study.models.precision import choose_precision
from concrete_study.models.trainable import Network
from concrete_study.search.throughput import Rates, time_rates

ALL = ("pooled", "block5_conv2", "block5_conv1", "block4_pool")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Subset:
    path = tmp_path_factory.mktemp("images") / "grey.png"
    Image.fromarray(np.full((32, 32, 3), 128, np.uint8)).save(path)
    return Subset("train", [path] * 2, np.zeros(2, np.int32), ["0" * 64] * 2, ["no", "yes"])


@pytest.fixture(scope="module")
def network() -> Network:
    precision = choose_precision("float32")
    return Network(load_weights("bundled"), size=32, classes=2, precision=precision)


def times(
    network: Network, images: Subset, depths: tuple[int, ...], stored: tuple[str, ...]
) -> Rates:
    return time_rates(
        network,
        images,
        stored=stored,
        complete=bool(stored),
        depths=depths,
        units=0,
        batch_size=4,
    )


def test_depths_between_cost_their_part_of_the_deepest(network: Network, images: Subset) -> None:
    rates = times(network, images, (0, 1, 2, 3), ALL)
    assert rates.passing == 0
    assert sorted(rates.training) == sorted(rates.validating) == [0, 1, 2, 3]
    # Forward, kernels' gradients, and inputs' but the lowest's: 2, 5 and 8 convolutions.
    assert rates.training[1] == pytest.approx(rates.training[3] * 2 / 8)
    assert rates.training[2] == pytest.approx(rates.training[3] * 5 / 8)
    assert rates.validating[1] == pytest.approx(rates.validating[3] / 3)
    assert 0 < rates.training[0] < rates.training[3]


def test_a_step_from_a_cut_further_below_has_the_forward_pass_added(
    network: Network, images: Subset
) -> None:
    rates = times(network, images, (1, 3), ("pooled", "block4_pool"))
    assert rates.training[1] == pytest.approx(rates.training[3] * (3 + 1) / 8)
    assert rates.validating[1] == pytest.approx(rates.validating[3])


def test_what_is_not_stored_costs_a_pass_in_every_epoch(network: Network, images: Subset) -> None:
    rates = times(network, images, (0, 1), ())
    assert rates.passing > 0
    assert min(rates.training[0], rates.validating[0], rates.validating[1]) > rates.passing
    assert rates.training[1] > rates.passing


def test_a_space_of_heads_alone_is_timed_without_fine_tuning(
    network: Network, images: Subset
) -> None:
    assert list(times(network, images, (0,), ("pooled",)).training) == [0]
