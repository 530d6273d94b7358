"""Stored features: their values, what they depend on, and what an interruption leaves."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shared_networks import load_weights, small_network

from concrete_study.datasets.batches import Subset, image_batches, subset_of
from concrete_study.datasets.errors import ResourceError
from concrete_study.datasets.folders import read_folder
from concrete_study.datasets.progress import SILENT
from concrete_study.datasets.sample import make_sample
from concrete_study.datasets.splits import split_images
from concrete_study.models import feature_shards
from concrete_study.models import features as features_module
from concrete_study.models.batch_sources import FeatureSource, ImageSource
from concrete_study.models.configuration import Configuration
from concrete_study.models.feature_plan import image_bytes, plan_features
from concrete_study.models.features import FeatureStore
from concrete_study.models.network import nearest_feature_layer
from concrete_study.models.precision import choose_precision
from concrete_study.models.trainable import Network
from concrete_study.search.training import train

SIZE = 32
FEATURE_LAYERS = ("block5_average", "block5_conv1", "block4_pool", "block3_pool")


@pytest.fixture(scope="module")
def subsets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Subset]:
    root = tmp_path_factory.mktemp("images") / "sample"
    make_sample(root, images=40, size=64)
    folder = read_folder(root)
    rows = split_images(folder.images, seed=1)
    names = ("train", "validation", "test")
    return {name: subset_of({"": root}, rows, name, folder.classes) for name in names}


@pytest.fixture(scope="module")
def network() -> Network:
    return small_network()


def make_network(*, precision: str = "float32") -> Network:
    weights = load_weights("bundled")
    return Network(weights, classes=2, precision=choose_precision(precision))


def make_store(
    network: Network,
    subset: Subset,
    layers: Sequence[str] = FEATURE_LAYERS,
    *,
    size: int = SIZE,
) -> FeatureStore:
    return FeatureStore(network, subset, layers, size=size)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("view", [0, 3])
def test_stored_features_are_the_frozen_backbones_outputs_in_float16(
    network: Network, subsets: dict[str, Subset], view: int
) -> None:
    store = make_store(network, subsets["train"])
    store.compute(view)
    order = np.arange(len(subsets["train"]))
    images = [x.numpy() for x, _ in image_batches(store.subset, size=SIZE, batch_size=8, view=view)]
    expected = network.frozen_backbone(FEATURE_LAYERS)(np.concatenate(images))
    for layer, features in zip(FEATURE_LAYERS, expected, strict=True):
        stored = store.rows(view, layer, order)
        assert stored.dtype == np.float16
        np.testing.assert_allclose(stored, features.numpy(), rtol=2e-3, atol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [0, 1, 2, 3, 5])  # the feature layer of depth 1 is not stored
def test_training_on_features_is_training_on_images_of_the_same_views(
    network: Network, subsets: dict[str, Subset], depth: int
) -> None:
    configuration = Configuration(
        head_units=32,
        dropout=0.3,
        unfreeze_depth=depth,
        head_learning_rate=1e-3,
        fine_tune_learning_rate=1e-5,
        image_size=SIZE,
    )
    stores = [make_store(network, subsets[name]) for name in ("train", "validation")]
    for store, views in zip(stores, (2, 1), strict=True):
        for view in range(views):
            store.compute(view)
    cached = [FeatureSource(store, 2) for store in stores]
    live = [
        ImageSource(network, subsets[name], size=SIZE, views=2) for name in ("train", "validation")
    ]
    curves = [
        train(network, configuration, epochs=4, training=pair[0], validation=pair[1], seed=1).curve
        for pair in (cached, live)
    ]
    for one, other in zip(*curves, strict=True):
        assert one.val_loss == pytest.approx(other.val_loss, rel=1e-2, abs=2e-3)
        assert one.loss == pytest.approx(other.loss, rel=1e-2, abs=2e-3)


def test_the_key_changes_with_everything_that_the_numbers_depend_on(
    network: Network, subsets: dict[str, Subset]
) -> None:
    train_set = subsets["train"]
    other_image = replace(train_set, digests=["0" * 64, *train_set.digests[1:]])
    stores = [
        make_store(network, train_set),
        make_store(network, subsets["test"]),
        make_store(network, other_image),
        make_store(network, train_set, size=64),
        make_store(make_network(precision="bfloat16"), train_set),
    ]
    assert len({store.folder for store in stores}) == len(stores)
    assert make_store(make_network(), train_set, ["block5_average"]).folder == stores[0].folder


def test_an_interruption_leaves_whole_views_and_the_next_run_continues(
    network: Network, subsets: dict[str, Subset], own_cache: Path
) -> None:
    store = make_store(network, subsets["train"])
    store.compute(0)
    calls = []

    def interrupt(count: int) -> None:
        calls.append(count)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.compute(1, on_images=interrupt)
    assert {p.name for p in store.folder.iterdir()} == {
        ".lock",
        "key.json",
        *(f"view-0.{layer}.npy" for layer in FEATURE_LAYERS),
        *(f"view-0.{layer}.npy.sha256" for layer in FEATURE_LAYERS),
    }
    (store.folder / ".view-1.block5_average.npy.left").write_bytes(b"by a killed process")
    counted: list[int] = []
    store.compute(0, on_images=counted.append)
    assert counted == []
    store.compute(1, on_images=counted.append)
    assert sum(counted) == len(subsets["train"])
    assert not list(store.folder.glob(".view-*"))


@pytest.mark.parametrize("view", [0, 1, "blur"])
def test_shards_made_in_any_order_are_bit_for_bit_the_view_of_one_process(
    view: int | str,
    network: Network,
    subsets: dict[str, Subset],
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(features_module, "BATCH_SIZE", 4)
    monkeypatch.setattr(feature_shards, "SHARD_IMAGES", 8)
    store = make_store(network, subsets["train"])
    store.compute(view)
    files = [store.path(view, layer) for layer in FEATURE_LAYERS]
    whole = [file.read_bytes() for file in files]
    files[-1].unlink()
    files[0].unlink()
    with store.locked():
        shards = feature_shards.missing_shards(store, view)
        assert len(shards) > 2
        assert shards[0].layers == (FEATURE_LAYERS[0], FEATURE_LAYERS[-1])
        for shard in [*reversed(shards), shards[1]]:  # one of them twice
            feature_shards.write_shard(store, shard)
        feature_shards.join_shards(store, shards)
    assert [file.read_bytes() for file in files] == whole
    assert {p.name for p in store.folder.iterdir()} == {
        ".lock",
        "key.json",
        *(f"{file.name}{ending}" for file in files for ending in ("", ".sha256")),
    }


def test_shards_of_a_killed_process_are_removed(
    network: Network, subsets: dict[str, Subset], own_cache: Path
) -> None:
    store = make_store(network, subsets["train"])
    with store.locked():
        (shard,) = feature_shards.missing_shards(store, 0)
        feature_shards.write_shard(store, shard)
    (store.folder / "..view-0.block4_pool.npy.0-8.left").write_bytes(b"of a killed worker")
    store.compute(0)
    assert feature_shards.missing_shards(store, 0) == []
    assert not list(store.folder.glob(".*view-*"))


def test_a_second_store_finds_the_features_of_the_first(
    network: Network, subsets: dict[str, Subset], own_cache: Path
) -> None:
    make_store(network, subsets["train"]).compute(0)
    assert make_store(make_network(), subsets["train"]).missing(0) == []


def test_damaged_features_are_computed_again_with_one_line_each(
    network: Network, subsets: dict[str, Subset], own_cache: Path
) -> None:
    store = make_store(network, subsets["train"])
    store.compute(0)
    path = store.path(0, "block5_average")
    whole = path.read_bytes()
    for damage in (whole[:-2], whole[:-1] + bytes([whole[-1] ^ 1]), b"", None):
        path.unlink() if damage is None else path.write_bytes(damage)
        if damage:
            with pytest.raises(ResourceError, match="features are damaged"):
                store.rows(0, "block5_average", np.arange(2))
        lines: list[str] = []
        store.compute_all([0], SILENT.counting, log=lines.append)
        assert lines == ([] if damage is None else [f"{path} is damaged and is computed again."])
        assert path.read_bytes() == whole


def test_a_full_disk_is_one_clear_error(subsets: dict[str, Subset], own_cache: Path) -> None:
    huge = replace(subsets["train"], digests=subsets["train"].digests)
    network = make_network()
    store = make_store(network, huge, ["block1_pool"], size=2**20)  # 1 PB of features
    with pytest.raises(ResourceError, match="no space left"):
        store.compute(0)


def test_the_budget_limits_views_then_feature_layers() -> None:
    row = image_bytes(["block5_average", "block4_pool"], 224)
    feature_layers = ["block5_average", "block4_pool"]

    def plan(budget_bytes: float) -> tuple[tuple[str, ...], int]:
        made = plan_features(
            feature_layers,
            train=100,
            validation=20,
            sizes=[224],
            views=5,
            budget_gb=budget_bytes / 1e9,
        )
        assert made.bytes <= budget_bytes
        assert bool(made.reason) == (made.views < 5 or len(made.feature_layers) < 2)
        return made.feature_layers, made.views

    assert plan(520 * row) == (("block5_average", "block4_pool"), 5)
    assert plan(519 * row) == (("block5_average", "block4_pool"), 4)
    assert plan(120 * row) == (("block5_average", "block4_pool"), 1)
    assert plan(119 * row) == (("block5_average",), 5)
    assert plan(0) == ((), 5)


def test_the_budget_omits_feature_layers_within_block_5_before_views() -> None:
    feature_layers = ["block5_average", "block5_conv2", "block5_conv1", "block4_pool"]

    def plan(times: float) -> tuple[tuple[str, ...], int, str]:
        row = image_bytes(["block4_pool"], 224)
        made = plan_features(
            feature_layers,
            train=100,
            validation=0,
            sizes=[224],
            views=5,
            budget_gb=500 * row * times / 1e9,
        )
        return made.feature_layers, made.views, made.reason

    assert plan(3.1) == (tuple(feature_layers), 5, "")
    assert plan(2.1) == (("block5_average", "block5_conv2", "block4_pool"), 5, "")
    assert plan(1.1) == (("block5_average", "block4_pool"), 5, "")
    assert plan(0.9)[:2] == (("block5_average", "block4_pool"), 4)


def test_features_are_computed_from_the_nearest_stored_layer() -> None:
    stored = ("block5_average", "block4_pool")
    assert nearest_feature_layer("block5_average", stored) == "block5_average"
    assert nearest_feature_layer("block5_conv2", stored) == "block4_pool"
    assert nearest_feature_layer("block3_pool", stored) == "image"
    assert nearest_feature_layer("block5_average", ()) == "image"


def test_images_are_never_stored() -> None:
    plan = plan_features(
        ["block5_average", "image"], train=1, validation=1, sizes=[32], views=1, budget_gb=9
    )
    assert plan.feature_layers == ("block5_average",)
    assert plan.reason == ""


def test_features_that_were_deleted_meanwhile_are_one_clear_error(
    network: Network, subsets: dict[str, Subset], own_cache: Path
) -> None:
    store = make_store(network, subsets["test"], ("block5_average",))
    store.compute(0)
    shutil.rmtree(own_cache)
    with pytest.raises(ResourceError, match="the stored features are missing"):
        store.rows(0, "block5_average", np.arange(2))
