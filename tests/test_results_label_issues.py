"""Labels that are probably wrong: flipped ones are found by confident learning."""

import numpy as np
import pytest

from concrete_study.datasets.errors import DataError
from concrete_study.datasets.splits import SplitRow
from concrete_study.results.label_issues import (
    NEIGHBOURS,
    LabelIssue,
    find_label_issues,
    issues_table,
)
from concrete_study.study.frozen_predictions import audit_folds, predict_out_of_fold

CLASSES = ["a", "b", "c"]


def issues(flipped: dict[int, str], *, classes: int = 2, images: int = 90) -> list[LabelIssue]:
    """Issues of images whose features separate the classes, some of them with other labels."""
    truth = np.arange(images) % classes
    random = np.random.default_rng(1)
    features = (random.normal(0, 0.3, (images, 8)) + 3 * np.eye(8)[truth]).astype(np.float32)
    rows = [
        SplitRow(str(n), flipped.get(n, CLASSES[t]), "train", f"g{n}", f"s{n}")
        for n, t in enumerate(truth)
    ]
    names = CLASSES[:classes]
    labels = np.array([names.index(row.label) for row in rows])
    folds = audit_folds(rows, seed=1)
    probabilities = predict_out_of_fold(features, labels, folds, classes=classes)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    return find_label_issues(rows, names, probabilities, features)


@pytest.mark.parametrize("classes", [2, 3])
def test_flipped_labels_are_found_with_the_label_that_is_right(classes: int) -> None:
    found = issues(
        {0: "b", 12: "b", 31: "a"} if classes == 2 else {0: "b", 31: "a"}, classes=classes
    )
    truth = {issue.file: CLASSES[int(issue.file) % classes] for issue in found}
    assert {*truth} >= {"0", "31"}
    assert len(found) <= 4
    assert {issue.file: issue.suggested_label for issue in found} == truth
    assert [issue.rank for issue in found] == list(range(1, len(found) + 1))
    qualities = [issue.label_quality for issue in found]
    assert qualities == sorted(qualities)
    assert all(issue.p_suggested > issue.p_label for issue in found)


def test_neighbours_are_other_images_the_most_similar_first() -> None:
    for issue in issues({0: "b", 31: "a"}):
        assert len(issue.neighbours) == NEIGHBOURS
        assert issue.file not in [neighbour.file for neighbour in issue.neighbours]
        assert {neighbour.label for neighbour in issue.neighbours} == {issue.suggested_label}
        similarities = [neighbour.similarity for neighbour in issue.neighbours]
        assert similarities == sorted(similarities, reverse=True)
        assert 0.5 < similarities[0] <= 1


def test_the_table_has_a_row_per_image_and_columns_even_without_any() -> None:
    found = issues({0: "b", 31: "a"})
    table = issues_table(found)
    assert list(table["file"]) == [issue.file for issue in found]
    assert table.loc[0, "neighbour_1"] == found[0].neighbours[0].file
    assert issues({}) == []
    assert list(issues_table([]).columns) == list(table.columns[: len(issues_table([]).columns)])
    assert "label_quality" in issues_table([]).columns


@pytest.mark.parametrize(
    ("labels", "groups", "found"),
    [("aaaaaa", "123456", "all images are of a"), ("aaaabb", "123455", "b has 1")],
)
def test_too_few_groups_or_classes_are_refused(labels: str, groups: str, found: str) -> None:
    rows = [
        SplitRow(str(n), label, "train", group, str(n))
        for n, (label, group) in enumerate(zip(labels, groups, strict=True))
    ]
    with pytest.raises(DataError) as error:
        audit_folds(rows, seed=1)
    assert found in str(error.value)


def test_a_few_images_have_fewer_folds() -> None:
    rows = [SplitRow(str(n), "ab"[n % 2], "train", str(n), str(n)) for n in range(6)]
    assert len(audit_folds(rows, seed=1)) == 3
