"""Hostile names, option values and settings files: each is read, or refused with a message."""

from contextlib import suppress
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from hostile import HOSTILE_NAMES, csv_like, file_names, names, parses_or_refuses, slow, written
from hypothesis import example, given
from hypothesis import strategies as st

from concrete_study.datasets.labels import parse_class_map, read_list
from concrete_study.datasets.splits import SplitRow, parse_shares, read_split, write_split
from concrete_study.results.folder import StudyFolder
from concrete_study.results.hyperparameters import by_name
from concrete_study.results.options import SearchConfig
from concrete_study.results.runs import check_name, find_study
from concrete_study.search.config import given_options, read_config
from concrete_study.search.parsing import parse_budget, parse_sizes
from concrete_study.search.space import parse_space, read_space
from concrete_study.study.image_paths import expand, refusal

OPTIONS = SearchConfig.__struct_fields__
DEEP = b"a = " + b"[" * 3_000
LONG_INTEGERS = (b"dropout = 1" + b"0" * 5_000, b"dropout = 0x1" + b"0" * 5_000)
numbers = st.one_of(st.integers(), st.floats(), st.sampled_from([10**400, -(10**400), 0, 1, 3]))
scalars = st.one_of(names, numbers, st.booleans(), st.none(), st.dates(), st.binary(max_size=5))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=3,
)
ranges = st.fixed_dictionaries(
    {"min": numbers, "max": numbers}, optional={"log": st.booleans() | numbers}
)


def toml_like(keys: list[str]) -> st.SearchStrategy[bytes]:
    """Lines `key = value`, of known keys and of any, and any bytes."""
    value = st.one_of(
        names.map(lambda name: f'"{name}"'),
        st.sampled_from(["{ min = 1, max = 1e400 }", "{ min = nan, max = inf }", "[[]]", "-0"]),
        st.sampled_from(
            ["0x" + "f" * 5000, "9" * 400, "1979-05-27", "[0, 0]", "true", '"\\u0000"']
        ),
        st.integers().map(str),
    )
    line = st.tuples(st.one_of(st.sampled_from(keys), names), value).map(" = ".join)
    text = st.lists(line, max_size=5).map("\n".join)
    return (
        st.one_of(text, st.text()).map(lambda t: t.encode("utf-8", "surrogatepass")) | st.binary()
    )


@given(toml_like(list(by_name())))
@example(DEEP)
@example(LONG_INTEGERS[0])
@example(LONG_INTEGERS[1])
def test_any_space_file_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    with parses_or_refuses():
        read_space(written(tmp_path / "space.toml", content))


@given(toml_like(list(OPTIONS)))
@example(DEEP)
@example(LONG_INTEGERS[1].replace(b"dropout", b"seed"))
@example(b'data = "a\\u0000b"')
@example(b"class_map = [1]")
@example(b'time_budget = "' + b"9" * 5_000 + b'h"')
def test_any_study_toml_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    with parses_or_refuses():
        read_config(written(tmp_path / "study.toml", content))


@given(st.dictionaries(st.sampled_from(list(by_name())) | names, values | ranges, max_size=4))
def test_any_space_table_is_read_or_refused(content: dict[str, Any]) -> None:
    with parses_or_refuses():
        parse_space(content)


@given(st.dictionaries(st.sampled_from(list(OPTIONS)), values, min_size=1, max_size=3))
def test_any_option_value_is_read_or_refused(content: dict[str, Any]) -> None:
    with parses_or_refuses():
        given_options(content)


@given(st.one_of(names, st.from_regex(r"[0-9hms/,=.]{0,30}", fullmatch=True)))
@example("9" * 400 + "h")
@example("9" * 5_000 + "s")
def test_any_typed_value_is_read_or_refused(text: str) -> None:
    for parse in (parse_shares, parse_sizes, parse_budget):
        with parses_or_refuses():
            parse(text)
    with parses_or_refuses():
        parse_class_map([text])


@given(names)
def test_a_study_name_never_leads_outside_its_folder(tmp_path: Path, name: str) -> None:
    with parses_or_refuses():
        find_study(tmp_path, name)
    with parses_or_refuses():
        path = (tmp_path / check_name(name)).resolve()
        assert path.parent == tmp_path.resolve()
        assert path.name == name


@given(csv_like("file", "class", "subset", "group", "sha256"))
@example(b"file,class\n" + b'"' + b"x" * 200_000)
def test_any_csv_of_labels_groups_or_subsets_is_read_or_refused(
    tmp_path: Path, content: bytes
) -> None:
    path = written(tmp_path / "list.csv", content)
    for column in ("class", "group"):
        with parses_or_refuses():
            read_list(path, column, parameter="labels", hint="a list.")
    with parses_or_refuses():
        read_split(path)


cells = st.text(st.characters(codec="utf-8"), max_size=9) | st.sampled_from(HOSTILE_NAMES)


@given(st.lists(st.builds(SplitRow, *[cells] * 5), min_size=1, max_size=3))
def test_a_split_of_any_names_is_read_as_it_was_written(
    tmp_path: Path, rows: list[SplitRow]
) -> None:
    write_split(tmp_path / "split.csv", rows)
    assert read_split(tmp_path / "split.csv") == rows


@pytest.fixture
def lonely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, in which no pattern finds other files."""
    folder = tmp_path / "lonely"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def is_inside(path: str) -> bool:
    """Whether a path cannot lead a pattern such as /** through the whole disk."""
    return not path.startswith("/") and ".." not in path


@given(st.lists(st.one_of(names, st.text("*?[]!./-\0a\udc80")), max_size=5))
def test_any_list_of_paths_is_expanded(
    lonely: Path, monkeypatch: pytest.MonkeyPatch, paths: list[str]
) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"\xff\n\0\n\n-\n"), encoding="utf-8"))
    with parses_or_refuses():
        for file in expand([path for path in paths if is_inside(path)]):
            with suppress(OSError, ValueError):  # as documented: a row with an error
                refusal(file)


@slow(0.2)  # every example makes files
@given(st.sets(file_names, max_size=4))
def test_files_of_any_name_are_found_in_a_folder(tmp_path: Path, found: set[str]) -> None:
    with parses_or_refuses():
        for name in found:
            written(tmp_path / f"{name}.jpg", b"x")
        images = {Path(file).name for file in expand([str(tmp_path)])}
        hidden = {f"{name}.jpg" for name in found if name.startswith(".")}
        assert images == {f"{name}.jpg" for name in found} - hidden
    for file in tmp_path.iterdir():
        file.unlink()


def test_no_hostile_name_is_a_study_name_unless_it_is_plain() -> None:
    plain = {name for name in HOSTILE_NAMES if name.isascii() and name.isalnum() and len(name) < 99}
    assert plain == {"con", "NA", "nan"}
    for name in set(HOSTILE_NAMES) - plain:
        with pytest.raises(Exception, match="is not a valid study name"):
            StudyFolder(Path(check_name(name)))
