"""`import concrete_study`: cheap, and complete on first use."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import concrete_study
from concrete_study.datasets.errors import StudyStateError
from concrete_study.study.public import search

ROOT = Path(__file__).parents[1]
HEAVY = ("tensorflow", "keras", "keras_tuner", "pandas", "numpy", "matplotlib", "sklearn")


def test_the_import_loads_no_heavy_package_and_takes_less_than_a_tenth_of_a_second() -> None:
    code = (
        "import sys, time; start = time.process_time()\n"
        "import concrete_study\n"
        "print(time.process_time() - start)\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split("\n")
        for _ in range(3)
    ]
    assert min(float(seconds) for seconds, *_ in printed) < 0.1
    assert {modules for _, modules, *_ in printed} == {"[]"}


def test_every_public_name_exists() -> None:
    for name in concrete_study.__all__:
        assert getattr(concrete_study, name) is not None
    assert re.fullmatch(r"\d+\.\d+\.\d+", concrete_study.__version__)
    assert concrete_study.SearchOptions().max_epochs == 10
    with pytest.raises(AttributeError, match="has no attribute 'unknown'"):
        concrete_study.unknown  # noqa: B018


def test_studies_are_listed_and_opened_by_name(tmp_path: Path) -> None:
    assert concrete_study.list_studies(runs=tmp_path) == []
    with pytest.raises(StudyStateError, match="frist"):
        concrete_study.open("frist", runs=tmp_path)


def test_the_package_and_the_function_search_have_one_name() -> None:
    from concrete_study.search.schedule import total_trials

    package: Any = concrete_study.search
    assert package.schedule.total_trials is total_trials
    assert callable(concrete_study.search)
    assert concrete_study.search.__doc__ == search.__doc__
    assert inspect.signature(concrete_study.search) == inspect.signature(search)


def test_opening_a_study_imports_no_tensorflow() -> None:
    code = (
        "import sys, concrete_study\n"
        "concrete_study.list_studies(runs='nowhere'), concrete_study.Study, concrete_study.Model\n"
        "print(sorted({'tensorflow', 'keras', 'keras_tuner', 'matplotlib'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("[]\n", "")
