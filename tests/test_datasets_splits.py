import hashlib
import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from concrete_study.datasets.errors import DataError, StudyStateError, UsageError
from concrete_study.datasets.folders import LabelledImage, read_folder
from concrete_study.datasets.groups import group_images
from concrete_study.datasets.splits import (
    DEFAULT_SHARES,
    SUBSETS,
    SplitRow,
    draw_part,
    parse_shares,
    read_split,
    split_images,
    write_split,
)


def labelled(label: str, name: str, content: str) -> LabelledImage:
    return LabelledImage(f"{label}/{name}", label, hashlib.sha256(content.encode()).hexdigest())


def single(label: str, count: int) -> list[LabelledImage]:
    return [labelled(label, f"{n}.jpg", f"{label} {n}") for n in range(count)]


def counts(rows: list[SplitRow], label: str) -> dict[str, int]:
    found = Counter(row.subset for row in rows if row.label == label)
    return {subset: found[subset] for subset in SUBSETS}


def subsets_of(rows: list[SplitRow]) -> dict[str, set[str]]:
    found = defaultdict(set)
    for row in rows:
        found[row.sha256].add(row.subset)
    return found


@pytest.mark.parametrize("shares", [DEFAULT_SHARES, (0.8, 0.1, 0.1), (0.34, 0.33, 0.33)])
def test_each_class_gets_its_shares_to_within_one_image(
    shares: tuple[float, float, float],
) -> None:
    for total in range(10, 260, 3):
        rows = split_images([*single("A", total), *single("B", 20)], seed=total, shares=shares)
        for subset, share in zip(SUBSETS, shares, strict=True):
            assert abs(counts(rows, "A")[subset] - share * total) <= 1, (total, subset)


def test_round_numbers_are_split_exactly() -> None:
    rows = split_images([*single("A", 2000), *single("B", 20)], seed=1)
    assert counts(rows, "A") == {"train": 1400, "validation": 300, "test": 300}
    assert counts(rows, "B") == {"train": 14, "validation": 3, "test": 3}


@pytest.mark.parametrize("total", [3, 4, 5, 9])
def test_a_small_class_has_an_image_in_every_subset(total: int) -> None:
    rows = split_images([*single("A", total), *single("B", 40)], seed=1)
    assert min(counts(rows, "A").values()) >= 1


def test_no_content_is_in_two_subsets_whatever_the_groups() -> None:
    dice = random.Random(11)
    for seed in range(40):
        images = []
        largest = 1
        for group in range(dice.randint(8, 60)):
            size = dice.choice([1, 1, 1, 2, 3, 8])
            largest = max(largest, size)
            images += [labelled("A", f"{group}-{copy}.jpg", f"A{group}") for copy in range(size)]
        images += single("B", 20)
        rows = split_images(images, seed=seed)
        assert all(len(subsets) == 1 for subsets in subsets_of(rows).values())
        assert len(rows) == len(images)
        total = sum(row.label == "A" for row in rows)
        for subset, share in zip(SUBSETS, DEFAULT_SHARES, strict=True):
            placed = counts(rows, "A")[subset]
            assert placed >= 1
            assert placed <= share * total + largest + 1


def test_an_image_under_two_labels_stays_in_one_subset() -> None:
    both = [labelled(label, "twin.jpg", f"twin {n}") for n in range(6) for label in "AB"]
    images = [i._replace(file=f"{i.file}{n}") for n, i in enumerate(both)]
    rows = split_images([*images, *single("A", 12), *single("B", 12)], seed=4)
    assert all(len(subsets) == 1 for subsets in subsets_of(rows).values())
    for label in "AB":
        assert min(counts(rows, label).values()) >= 1


def test_large_groups_are_assigned_first() -> None:
    """In any other order small groups fill the subsets, and a large one exceeds its quota."""
    for seed in range(20):
        large = [labelled("A", f"large {n}.jpg", "large") for n in range(30)]
        rows = split_images([*single("A", 30), *large, *single("B", 20)], seed=seed)
        assert {row.subset for row in rows if "large" in row.file} == {"train"}
        assert counts(rows, "A") == {"train": 42, "validation": 9, "test": 9}


def test_the_split_follows_content_and_seed_not_the_order_of_files() -> None:
    images = [*single("A", 50), *single("B", 30)]
    shuffled = random.Random(2).sample(images, len(images))
    assert split_images(shuffled, seed=3) == split_images(images, seed=3)
    assert split_images(images, seed=4) != split_images(images, seed=3)


def test_the_split_of_a_seed_never_changes() -> None:
    # A changed algorithm would move test images into train.
    rows = split_images([*single("A", 10), *single("B", 10)], seed=1)
    text = "".join(row.subset[1] for row in rows)
    assert text == "rrrerararrrerrarrrar"


def test_another_name_does_not_move_an_image_to_another_subset() -> None:
    images = [*single("A", 30), *single("B", 30)]
    renamed = [i._replace(file=i.file.replace("A/", "A/new ")) for i in images]
    before = {row.sha256: row.subset for row in split_images(images, seed=1)}
    assert {row.sha256: row.subset for row in split_images(renamed, seed=1)} == before


def test_earlier_images_keep_their_subset_and_new_ones_fill_the_rest() -> None:
    first = split_images([*single("A", 20), *single("B", 20)], seed=1)
    earlier = {row.sha256: row.subset for row in first}
    rows = split_images([*single("A", 40), *single("B", 20)], seed=2, earlier=earlier)
    assert {row.sha256: row.subset for row in rows if row.sha256 in earlier} == earlier
    assert counts(rows, "A") == {"train": 28, "validation": 6, "test": 6}


def test_a_joined_group_goes_where_most_of_its_images_were() -> None:
    images = [*single("A", 12), *single("B", 12)]
    joined = [image.sha256 for image in images[:4]]
    earlier = dict(zip(joined, ("validation", "test", "test"), strict=False))  # the fourth is new
    rows = split_images(images, seed=1, groups=group_images(images, [joined]), earlier=earlier)
    assert {row.subset for row in rows if row.sha256 in joined} == {"test"}


@pytest.mark.parametrize(("count", "words"), [(1, "1 group"), (2, "2 groups")])
def test_a_class_too_small_for_three_subsets_is_named(count: int, words: str) -> None:
    with pytest.raises(
        DataError, match=rf"class Rare has {words} of images\.\n.*at least 3"
    ) as caught:
        split_images([*single("Common", 30), *single("Rare", count)], seed=1)
    assert "the folder Rare" in caught.value.hint


def test_near_duplicates_do_not_make_a_class_large_enough() -> None:
    duplicates = [labelled("Rare", f"{n}.jpg", f"image {n % 2}") for n in range(10)]
    with pytest.raises(DataError, match="class Rare has 2 groups of images"):
        split_images([*single("Common", 30), *duplicates], seed=1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "70/15",
        "70/15/15/0",
        "70/30/0",
        "80/30/-10",
        "a/b/c",
        "60/15/15",
        "70/15/15.5",
        "nan/50/50",
        "inf/1/1",
    ],
)
def test_shares_that_are_no_three_positive_parts_of_a_hundred_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a valid split") as caught:
        parse_shares(text)
    assert text in str(caught.value)
    assert "Expected three positive percentages" in str(caught.value)
    assert caught.value.parameter == "split"
    assert caught.value.hint.startswith("70/15/15, or 85/15/0 with a test set")


def test_the_test_share_may_be_zero_if_test_images_are_given() -> None:
    assert parse_shares("85/15/0", test_given=True) == (0.85, 0.15, 0)
    for text in ("100/0/0", "85/15/0/0", "85/10/0"):
        with pytest.raises(UsageError, match="is not a valid split"):
            parse_shares(text, test_given=True)


@pytest.mark.parametrize("text", ["70/15/15", "33.4/33.3/33.3", " 98 / 1 / 1 "])
def test_shares_sum_to_one(text: str) -> None:
    assert sum(parse_shares(text)) == pytest.approx(1)


def test_a_split_is_read_as_it_was_written(tmp_path: Path) -> None:
    names = [
        "a,b.jpg",
        'say "x".jpg',
        "line\nbreak.jpg",
        "bare\rreturn.jpg",
        "tab\t.jpg",
        "Riß 橋.jpg",
    ]
    rows = split_images([labelled("A", name, name) for name in names] + single("B", 3), seed=1)
    path = tmp_path / "split.csv"
    write_split(path, rows)
    assert read_split(path) == rows
    lines = path.read_bytes().decode().split("\n")
    assert lines[0] == "file,class,subset,group,sha256"
    assert lines[-2] == ",".join(rows[-1])  # not quoted


def test_only_the_row_with_a_carriage_return_is_quoted(tmp_path: Path) -> None:
    rows = [SplitRow("a\rb", "A", "test", "g", "s"), SplitRow("c", "A", "test", "g", "s")]
    write_split(tmp_path / "split.csv", rows)
    assert (tmp_path / "split.csv").read_bytes() == (
        b'file,class,subset,group,sha256\n"a\rb","A","test","g","s"\nc,A,test,g,s\n'
    )


@pytest.mark.parametrize("damage", [b"A/0.jpg,A\n", b"\xff\xfe", b'"A/0.jpg,A,train,g,s\n"x'])
def test_a_damaged_split_is_an_error_that_names_the_file(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    write_split(path, split_images([*single("A", 3), *single("B", 3)], seed=1))
    path.write_bytes(path.read_bytes() + damage)
    with pytest.raises(
        StudyStateError, match=r"split\.csv is damaged.*\n.*columns file, class"
    ) as e:
        read_split(path)
    assert "from a backup" in e.value.hint


def test_real_folders_are_split_by_their_bytes(real_images: Path, tmp_path: Path) -> None:
    for label in ("Negative", "Positive"):
        (tmp_path / label).mkdir()
        for number, path in enumerate(sorted((real_images / label).iterdir())[:10]):
            (tmp_path / label / f"{number}.jpg").write_bytes(path.read_bytes())
        (tmp_path / label / "copy.jpg").write_bytes((tmp_path / label / "0.jpg").read_bytes())
    rows = split_images(read_folder(tmp_path).images, seed=1)
    subset_by_file = {row.file: row.subset for row in rows}
    assert len(rows) == 22
    assert subset_by_file["Positive/copy.jpg"] == subset_by_file["Positive/0.jpg"]
    assert subset_by_file["Negative/copy.jpg"] == subset_by_file["Negative/0.jpg"]


def test_a_sample_is_stratified_and_splits_no_group() -> None:
    images = [LabelledImage(f"{n}.jpg", "ABC"[n % 3], f"{n:064}") for n in range(600)]
    groups = {image.sha256: f"{int(image.file[:-4]) // 6}-{image.label}" for image in images}
    rows = split_images(images, seed=1, groups=groups)
    part = draw_part(rows, 100, seed=1)
    assert set(part) <= set(rows)
    assert 90 <= len(part) <= 100
    counts = Counter((row.subset, row.label) for row in part)
    assert set(counts) == {(s, c) for s in ("train", "validation") for c in "ABC"}
    assert max(counts.values()) - min(counts[("train", c)] for c in "ABC") <= 2
    for row in rows:
        if row.group in {drawn.group for drawn in part}:
            assert row in part
    assert draw_part(rows, 100, seed=1) == part
    assert draw_part(rows, 100, seed=2) != part
    searched = [row for row in rows if row.subset != "test"]
    assert draw_part(rows, 10_000, seed=1) == sorted(searched)


def test_a_sample_fills_its_share_exactly_where_groups_allow_it() -> None:
    rows = [
        SplitRow(f"{n}", "A", subset, f"{subset} {n}", "")
        for subset, count in (("train", 40), ("validation", 20))
        for n in range(count)
    ]
    part = draw_part(rows, 30, seed=1)
    assert Counter(row.subset for row in part) == {"train": 20, "validation": 10}


def test_the_smallest_sample_has_every_class_in_train_and_validation() -> None:
    images = [LabelledImage(f"{n}.jpg", "AB"[n % 2], f"{n:016}{'':0<48}") for n in range(40)]
    part = draw_part(split_images(images, seed=1), 1, seed=1)
    assert Counter((row.subset, row.label) for row in part) == {
        (subset, label): 1 for subset in ("train", "validation") for label in "AB"
    }
