"""The positive class: by a usual name, by the alphabet, or as given."""

import pytest

from concrete_study.datasets.errors import UsageError
from concrete_study.results.positive_class import describe_positive_class, find_positive_class


@pytest.mark.parametrize(
    ("classes", "name"),
    [
        (["Cracked", "Uncracked"], "Cracked"),
        (["Negative", "Positive"], "Positive"),
        (["CRACK", "no crack"], "CRACK"),
        (["defective", "ok"], "defective"),
        (["0", "1"], "1"),
        (["anomaly", "normal"], "anomaly"),
        (["cats", "dogs"], "dogs"),
        (["no crack", "uncracked"], "uncracked"),
    ],
)
def test_of_two_classes_a_usual_name_is_positive_else_the_last(
    classes: list[str], name: str
) -> None:
    assert find_positive_class(classes) == name
    assert find_positive_class(classes, classes[0]) == classes[0]


def test_of_more_classes_none_is_positive_unless_given() -> None:
    classes = ["cracked", "sound", "spalling"]
    assert find_positive_class(classes) is None
    assert describe_positive_class(classes, None) == ""
    assert find_positive_class(classes, "spalling") == "spalling"
    with pytest.raises(UsageError, match="Expected one of cracked, sound, spalling"):
        find_positive_class(classes, "crack")


def test_a_class_that_was_taken_by_the_alphabet_is_described_as_such() -> None:
    assert describe_positive_class(["Cracked", "Uncracked"], None) == "Positive class: Cracked."
    assert describe_positive_class(["cats", "dogs"], "cats") == "Positive class: cats."
    text = describe_positive_class(["cats", "dogs"], None)
    assert text.startswith("Positive class: dogs, the last by name, as neither cats nor dogs")
