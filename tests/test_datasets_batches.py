from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from concrete_study.datasets import batches
from concrete_study.datasets.augmentation import apply_transforms, view_transforms
from concrete_study.datasets.batches import Subset, image_batches, subset_of
from concrete_study.datasets.decoding import decode_image
from concrete_study.datasets.errors import DataError
from concrete_study.datasets.folders import read_folder
from concrete_study.datasets.splits import split_images

SIZE = 24


@pytest.fixture
def subset(tmp_path: Path) -> Subset:
    """Eleven images, each of one shade, 20 n; labels 0 and 1 in turn."""
    paths = []
    for number in range(11):
        paths.append(tmp_path / f"Bild {number} ß.png")
        Image.new("RGB", (30, 40), (20 * number,) * 3).save(paths[-1])
    labels = np.arange(11, dtype=np.int32) % 2
    return Subset("train", paths, labels, [f"{n:064x}" for n in range(11)], ["A", "B"])


def test_batches_keep_the_order_and_the_last_may_be_smaller(subset: Subset) -> None:
    found = list(image_batches(subset, size=SIZE, batch_size=4))
    assert [images.shape for images, _ in found] == [(n, SIZE, SIZE, 3) for n in (4, 4, 3)]
    shades = np.concatenate([images.numpy()[:, 0, 0, 0] for images, _ in found])
    assert shades.tolist() == [20.0 * n for n in range(11)]
    assert np.concatenate([labels for _, labels in found]).tolist() == subset.labels.tolist()
    assert all(images.dtype == "float32" for images, _ in found)


@pytest.mark.parametrize("view", [0, 3])
def test_labels_and_images_follow_a_given_order(subset: Subset, view: int) -> None:
    order = np.random.default_rng(1).permutation(11)
    found = list(image_batches(subset, size=SIZE, batch_size=3, order=order, view=view))
    shades = np.concatenate([images.numpy()[:, 5, 5, 0] for images, _ in found])
    labels = np.concatenate([labels for _, labels in found])
    assert np.allclose(shades, 20.0 * order, atol=1e-3)
    assert labels.tolist() == (order % 2).tolist()


def test_an_order_can_omit_and_repeat_images(subset: Subset) -> None:
    ((images, labels),) = image_batches(
        subset, size=SIZE, batch_size=8, order=np.array([3, 3, 10], np.int64)
    )
    assert images.numpy()[:, 0, 0, 0].tolist() == [60.0, 60.0, 200.0]
    assert labels.tolist() == [1, 1, 0]


def test_a_view_is_the_same_in_every_batch_and_order(real_images: Path) -> None:
    paths = sorted((real_images / "Positive").iterdir())[:5]
    digests = [f"{n:064x}" for n in range(5)]
    some = Subset("train", paths, np.zeros(5, np.int32), digests, ["A"])
    ((together, _),) = image_batches(some, size=32, batch_size=5, view=2)
    order = np.array([4, 0, 2, 1, 3], np.int64)
    apart = [i for i, _ in image_batches(some, size=32, batch_size=2, view=2, order=order)]
    assert np.array_equal(np.concatenate(apart), together.numpy()[order])
    plain = np.stack([decode_image(path, 32) for path in paths])
    expected = apply_transforms(plain, view_transforms(digests, 2, 32))
    assert np.array_equal(together, expected)
    assert together.numpy().min() >= 0
    assert together.numpy().max() <= 255


def test_view_0_is_the_decoded_image(real_images: Path) -> None:
    paths = sorted((real_images / "Negative").iterdir())[:3]
    some = Subset("test", paths, np.zeros(3, np.int32), ["0" * 64] * 3, ["A"])
    ((images, _),) = image_batches(some, size=227, batch_size=8)
    assert np.array_equal(images, np.stack([decode_image(path) for path in paths]))


@pytest.mark.parametrize("damage", ["removed", "emptied", "folder"])
def test_a_file_that_became_unreadable_is_an_error_with_its_reason(
    subset: Subset, damage: str
) -> None:
    path = subset.paths[6]
    path.unlink()
    if damage == "emptied":
        path.touch()
    if damage == "folder":
        path.mkdir()
    seen = 0
    with pytest.raises(DataError, match="can no longer be read") as caught:
        for images, _ in image_batches(subset, size=SIZE, batch_size=2):
            seen += len(images)
    assert seen <= 6
    message = str(caught.value)
    reason = {"removed": "No such file", "emptied": "the file is empty", "folder": "directory"}
    assert reason[damage] in message
    assert path.name in message
    assert len(message.splitlines()) == 3


def test_an_error_of_tensorflow_is_not_reported_as_a_bad_image(
    subset: Subset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(path: Path, size: int) -> None:
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr(batches, "decode_image", decode)
    with pytest.raises(tf.errors.ResourceExhaustedError, match="9 GiB"):
        list(image_batches(subset, size=SIZE, batch_size=2))


def test_a_subset_has_its_images_with_class_indices(tmp_path: Path) -> None:
    for label in "CAB":
        (tmp_path / label).mkdir()
        for number in range(5):
            shade = (40 * number, ord(label), 3)
            Image.new("RGB", (8, 8), shade).save(tmp_path / label / f"{number}.png")
    folder = read_folder(tmp_path)
    rows = split_images(folder.images, seed=1)
    parts = [
        subset_of({"": tmp_path}, rows, name, folder.classes)
        for name in ("train", "validation", "test")
    ]
    assert sum(len(part) for part in parts) == 15
    for part in parts:
        assert [part.classes[n] for n in part.labels] == [p.parent.name for p in part.paths]
    assert parts[0].take(2).paths == parts[0].paths[:2]
    assert len(parts[0].take(2)) == 2
