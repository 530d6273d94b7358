from pathlib import Path

import pytest

from concrete_study.datasets.errors import DataError, UsageError
from concrete_study.datasets.folders import ImageFolder, LabelledImage
from concrete_study.datasets.groups import conflicting_groups, group_images, links_by_name

IMAGES = [
    LabelledImage(file, file[0], f"{number}" * 64)
    for number, file in enumerate(("A/7-1.jpg", "A/8-1.jpg", "B/7-2.jpg", "B/9-1-2.jpg"))
]


def folder_of(images: list[LabelledImage], *datasets: str) -> ImageFolder:
    roots = {name: Path("/images") / name for name in datasets or ("",)}
    return ImageFolder(roots, ["A", "B"], images, [])


def grouped(split_by: str) -> list[set[str]]:
    groups = group_images(IMAGES, links_by_name(folder_of(IMAGES), split_by))
    return sorted({i.file for i in IMAGES if groups[i.sha256] == g} for g in set(groups.values()))


def listed(tmp_path: Path, text: str) -> str:
    path = tmp_path / "groups.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_part_of_a_name_before_its_first_dash_is_a_group_across_classes() -> None:
    images = [*IMAGES, LabelledImage("A/9-2-1.jpg", "A", "4" * 64)]
    links = links_by_name(folder_of(images), "prefix")
    assert links == [["0" * 64, "2" * 64], ["1" * 64], ["3" * 64, "4" * 64]]


def test_a_csv_file_of_groups_links_its_images(tmp_path: Path) -> None:
    lines = ["group,note,file", "x,,A/7-1.jpg", "x,,A/8-1.jpg", "y,,B/7-2.jpg", "z,,B/9-1-2.jpg"]
    found = grouped(listed(tmp_path, "\n".join(lines)))
    assert {"A/7-1.jpg", "A/8-1.jpg"} in found
    assert len(found) == 3


def test_a_csv_file_that_lacks_an_image_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not name 2 of 4.*\n.*missing: B/7-2\.jpg") as caught:
        grouped(listed(tmp_path, "file,group\nA/7-1.jpg,x\nA/8-1.jpg,x\n"))
    assert caught.value.parameter == "split_by"
    assert "a group of its own" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "columns"), [("", r"\(none\)"), ("file,other\nA/7-1.jpg,x\n", "file, other")]
)
def test_a_csv_file_without_the_columns_is_an_error(
    text: str, columns: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"received: the columns {columns}") as caught:
        grouped(listed(tmp_path, text))
    assert caught.value.parameter == "split_by"


@pytest.mark.parametrize(
    ("lines", "received"),
    [
        ("A/7-1.jpg,x\nA/7-1.jpg,y", "x and y for A/7-1.jpg"),
        ("A/7-1.jpg,", "no group for A/7-1.jpg"),
    ],
)
def test_an_image_in_two_groups_or_in_none_is_an_error(
    lines: str, received: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"received: {received}") as caught:
        grouped(listed(tmp_path, f"file,group\n{lines}\n"))
    assert caught.value.parameter == "split_by"


def test_paths_in_a_csv_file_may_have_backslashes(tmp_path: Path) -> None:
    lines = "A\\7-1.jpg,x\nA\\8-1.jpg,x\nB/7-2.jpg,y\nB/9-1-2.jpg,z\n"
    assert len(grouped(listed(tmp_path, f"file,group\n{lines}"))) == 3


def test_a_missing_csv_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be used") as caught:
        grouped(str(tmp_path / "none.csv"))
    assert caught.value.hint == "prefix, or a file with one line per image."


def test_file_names_in_a_csv_file_keep_their_accents_and_line_breaks(tmp_path: Path) -> None:
    files = ("A/Riß 橋.jpg", "B/two\r\nlines.jpg")
    images = [LabelledImage(file, file[0], f"{n}") for n, file in enumerate(files)]
    path = tmp_path / "groups.csv"
    path.write_bytes("\n".join(["file,group", *(f'"{file}",x' for file in files)]).encode())
    assert links_by_name(folder_of(images), str(path)) == [["0", "1"]]


def test_names_without_a_dash_have_no_prefix() -> None:
    images = [LabelledImage("A/0.jpg", "A", "0"), LabelledImage("B/1.jpg", "B", "1")]
    with pytest.raises(UsageError, match=r"has a prefix\.\n.*A/0\.jpg") as caught:
        links_by_name(folder_of(images), "prefix")
    assert (caught.value.parameter, caught.value.hint) == (
        "split_by",
        "a CSV file with the columns file and group.",
    )


def test_one_prefix_in_two_folders_is_two_groups() -> None:
    files = ("east/A/7-1.jpg", "east/B/7-2.jpg", "west/A/7-1.jpg")
    images = [LabelledImage(file, file[5], str(n)) for n, file in enumerate(files)]
    assert links_by_name(folder_of(images, "east", "west"), "prefix") == [["0", "1"], ["2"]]


def test_near_duplicates_of_two_labels_are_a_conflict() -> None:
    groups = group_images(IMAGES, [("0" * 64, "2" * 64)])
    assert conflicting_groups(IMAGES, groups) == [[IMAGES[0], IMAGES[2]]]
    assert conflicting_groups(IMAGES, group_images(IMAGES)) == []
