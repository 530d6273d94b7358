"""The tutorial notebook and the code of the page on experiment trackers run as they stand."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from concrete_study.results.folder import StudyFolder

ROOT = Path(__file__).parents[1]
TINY = """data = ["photos"]
algorithm = "grid"
max_epochs = 1
image_size = 32
views = 1
precision = "float32"

[space]
feature_layers = "block5"
head_units = 0
dropout = [0.0, 0.5]
unfreeze_depth = 0
head_learning_rate = 1e-3
"""


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(notebook: Any) -> list[list[tuple[str, str]]]:
    """What each code cell puts out: text or values, and of which types."""
    return [
        sorted(
            {
                (one.output_type, one.get("name") or " ".join(sorted(one.data)))
                for one in cell.outputs
            }
        )
        for cell in code_cells(notebook)
    ]


@pytest.fixture
def notebook() -> Any:
    path = ROOT / "docs/tutorial.ipynb"
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def test_every_cell_has_a_stored_output_without_an_error_or_a_path(notebook: Any) -> None:
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert cell.outputs, cell.source
        assert {one.output_type for one in cell.outputs} <= {
            "stream",
            "display_data",
            "execute_result",
        }
        assert "stderr" not in {one.get("name") for one in cell.outputs}
        assert not re.search(r"/(tmp|root|home|Users|work|var)\b|[A-Z]:\\\\", str(cell.outputs))


@pytest.mark.slow
def test_the_tutorial_runs_from_top_to_bottom(
    notebook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    stored = kinds(notebook)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert kinds(notebook) == stored
    [runs] = tmp_path.glob("*/runs")
    assert sorted(path.name for path in runs.iterdir() if path.is_dir()) == ["first", "second"]
    assert StudyFolder(runs / "first").evaluations()


def test_the_code_for_mlflow_logs_every_trial(
    slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow  # imported where the variables are set

    monkeypatch.chdir(tmp_path)
    Path("photos").symlink_to(slabs)
    Path("tiny.toml").write_text(TINY)
    page = (ROOT / "docs/how-to/experiment-trackers.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    assert "max_epochs=10" in code
    exec(code.replace("max_epochs=10", 'config="tiny.toml"'), {})
    runs = mlflow.search_runs().sort_values("tags.mlflow.runName")
    assert runs["tags.mlflow.runName"].tolist() == ["best", "trial 0", "trial 1"]
    trials = StudyFolder(tmp_path / "runs/first").trials()
    assert runs["metrics.score"].dropna().tolist() == [trial.score for trial in trials]
    assert runs["params.dropout"].tolist()[1:] == ["0.0", "0.5"]
    assert 0 <= runs["metrics.test_accuracy"].iloc[0] <= 1
