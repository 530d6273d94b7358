"""`study.toml`, keywords and typed text: one set of options, and one error for all faults."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from small_study import SPACE

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode, message
from concrete_study.datasets.errors import UsageError
from concrete_study.results.folder import StudyFolder
from concrete_study.results.hyperparameters import Dimension, default_space
from concrete_study.results.options import SearchConfig
from concrete_study.results.records import SearchOptions
from concrete_study.results.study_toml import study_toml
from concrete_study.search.config import TYPES, given_options, read_config

EVERY: dict[str, Any] = {
    "data": ("/photos/ä b", '/photos/"quoted"\\folder'),
    "test": "/photos/test",
    "external_test": ("/other",),
    "validate_on": "/validation",
    "algorithm": "random",
    "max_epochs": 7,
    "factor": 4,
    "iterations": 2,
    "trials": 5,
    "objective": "val_loss",
    "select": "1se",
    "batch_size": 8,
    "views": 3,
    "cache_gb": 1e-05,
    "precision": "float32",
    "weights": "none",
    "split": "60/20/20",
    "groups": False,
    "split_by": "prefix",
    "class_map": {"Cracked walls": "Positive", 'a"b': "Negative"},
    "labels": "/labels.csv",
    "max_megapixels": 50.0,
    "keep_conflicts": True,
    "folds": 3,
    "repeats": 2,
    "class_weight": "none",
    "search_images": 100,
    "seed": 4,
    "positive_class": "Positive",
    "space": SPACE | {"pooling": Dimension(choices=("average", "max"))},
}


def written(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("values", [{}, EVERY], ids=["defaults", "every option"])
def test_a_printed_study_toml_gives_the_same_options(
    values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets" / "Positive").mkdir(parents=True)
    (tmp_path / "datasets" / "Positive" / "a.jpg").touch()
    options = SearchOptions(**values)
    assert not values or values.keys() == set(SearchOptions.__struct_fields__)
    text = study_toml(options)
    assert read_config(written(tmp_path, text)).options() == options
    assert tomllib.loads(text)["seed"] == options.seed


def test_one_error_lists_all_faults_of_a_file(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'epochs = 3\nmax_epochs = "many"\nseed = true\nclass_weight = "some"\ndata = [1]\n'
        'time_budget = "soon"\nimage_size = "big"\n[space]\ndepth = 3\nhead_units = -1\n',
    )
    with pytest.raises(UsageError) as caught:
        read_config(path)
    text = message(caught.value)
    assert text.startswith(f"--config: {path} is not valid.\n")
    assert "epochs: unknown option.\nExpected one of data, test" in text
    assert "max_epochs: 'many' is not valid.\nExpected `int`; received `str`." in text
    for name in ("seed", "class_weight", "data", "time_budget", "image_size", "space"):
        assert f"\n{name}: " in text
    assert "depth: unknown" in text
    assert "head_units: expected a whole number" in text


@pytest.mark.parametrize("text", ["max_epochs = ", "max_epochs = 1\nmax_epochs = 2\n"])
def test_a_file_that_is_no_toml_is_one_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"config: .*study.toml cannot be read"):
        read_config(written(tmp_path, text))


def test_paths_in_a_file_are_relative_to_its_folder(tmp_path: Path) -> None:
    text = 'data = "photos"\nlabels = "a.csv"\nweights = "w.weights.h5"\nsplit_by = "prefix"\n'
    config = read_config(written(tmp_path, text)).config
    assert config.data == (str(tmp_path / "photos"),)
    assert config.labels == str(tmp_path / "a.csv")
    assert config.weights == str(tmp_path / "w.weights.h5")
    assert config.split_by == "prefix"


def test_keywords_override_a_file_and_keep_the_rest(tmp_path: Path) -> None:
    path = written(tmp_path, 'data = "p"\nmax_epochs = 4\nseed = 3\n[space]\nhead_units = 0\n')
    given = given_options({"max_epochs": 5, "image_size": [32, 64], "seed": None})
    options = given.over(read_config(path)).options()
    assert (options.max_epochs, options.seed) == (5, 3)
    sizes = {"image_size": Dimension(choices=(32, 64))}
    assert options.space == default_space() | {"head_units": Dimension(choices=(0,))} | sizes


def test_typed_text_and_python_values_give_the_same_options(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text("dropout = { min = 0.1, max = 0.5 }")
    text = given_options(
        {
            "data": [str(tmp_path)],
            "class_map": ["a=A,b=B"],
            "image_size": "32,64",
            "time_budget": "1h30m",
            "space": str(tmp_path / "space.toml"),
        }
    )
    values = given_options(
        {
            "data": tmp_path,
            "class_map": {"a": "A", "b": "B"},
            "image_size": (32, 64),
            "time_budget": 5400,
            "space": {"dropout": {"min": 0.1, "max": 0.5}},
        }
    )
    assert text == values


def test_every_option_has_a_description_and_is_an_option_of_the_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["search", "--help"]) == ExitCode.OK
    printed = " ".join(capsys.readouterr().out.split())
    assert list(TYPES) == list(SearchConfig.__struct_fields__)
    properties = msgspec.json.schema(SearchConfig)["$defs"]["SearchConfig"]["properties"]
    for name, content in properties.items():
        option = "map" if name == "class_map" else name.replace("_", "-")
        assert content["description"].endswith(".")
        assert f"--{option} " in printed
        assert content["description"].split(". ")[0].removesuffix(".") in printed.replace("- ", "-")


def test_the_command_prints_the_options_of_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from small_records import write_study

    monkeypatch.chdir(tmp_path)
    study = write_study(StudyFolder(Path("runs/first")), options=SearchOptions(**EVERY))
    assert run(["config", "first"]) == ExitCode.OK
    assert capsys.readouterr().out == study_toml(study.manifest().options)
