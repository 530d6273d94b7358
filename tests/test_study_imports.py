"""The application, apart from the search itself, needs no Keras Tuner."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(f"concrete_study.study.{path.stem}" for path in (ROOT / "study").glob("[a-z]*.py"))
IMPORT_ALL = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    if "keras_tuner" in sys.modules:
        sys.exit(f"{name} imports keras_tuner")
"""


@pytest.mark.slow
def test_no_module_of_study_imports_keras_tuner() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *MODULES],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert len(MODULES) > 5
    assert ended.returncode == 0, ended.stderr
