"""A new hyperparameter is declared in `HYPERPARAMETERS` alone, and everything else follows."""

from pathlib import Path
from typing import Any

import pytest
from small_study import SPACE_TOML, Search, searched
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from concrete_study.results import hyperparameters
from concrete_study.results.formats import readable
from concrete_study.results.hyperparameters import Dimension, Hyperparameter, describe
from concrete_study.results.tables import comparison
from concrete_study.results.trials import leaderboard
from concrete_study.search.space import read_space
from concrete_study.search.tensorboard import TrialBoard

pytestmark = pytest.mark.slow

NEW = (
    Hyperparameter(
        name="label_noise",
        short="noise",
        lowest=0.0,
        highest=0.5,
        default=Dimension(low=0.0, high=0.2),
        reference=0.0,
        format=".3f",
    ),
    Hyperparameter(
        name="warm_up_steps",
        short="warm-up",
        lowest=0,
        highest=100,
        default=Dimension(choices=(10, 20)),
        reference=0,
        format="d",
        integer=True,
        requires="unfreeze_depth",
    ),
)


@pytest.fixture
def search(slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    known = (*hyperparameters.HYPERPARAMETERS, *NEW)
    monkeypatch.setattr(hyperparameters, "HYPERPARAMETERS", known)
    file = tmp_path / "space.toml"
    file.write_text(f"{SPACE_TOML}label_noise = {{ min = 0.05, max = 0.1 }}\n")
    return searched(slabs, tmp_path / "runs" / "s", max_epochs=2, space=read_space(file))


def test_a_new_hyperparameter_is_searched_stored_and_shown(search: Search, tmp_path: Path) -> None:
    space = search.study.manifest().options.space
    assert space["label_noise"] == Dimension(low=0.05, high=0.1)
    assert space["warm_up_steps"] == Dimension(choices=(10, 20))
    records = search.study.trials()
    for record in records:
        values: dict[str, Any] = record.hyperparameters
        assert 0.05 <= values["label_noise"] <= 0.1
        assert ("warm_up_steps" in values) == (values["unfreeze_depth"] > 0)
    assert len({record.hyperparameters["label_noise"] for record in records}) > 1

    columns = search.study.table_path.read_text().splitlines()[0].split(",")
    assert {"label_noise", "warm_up_steps"} <= set(columns)
    board = leaderboard(records, objective="val_loss")
    assert str(board["warm_up_steps"].dtype) == "Int64"
    assert {"noise", "warm-up"} <= set(readable(board).columns)
    best = search.best.hyperparameters
    row = comparison([search.study]).iloc[0]
    assert row["label_noise"] == best["label_noise"]
    assert f"noise {best['label_noise']:.3f}" in describe(best)

    TrialBoard(tmp_path / "tensorboard", space, "val_loss").write(search.best)
    (run,) = (tmp_path / "tensorboard").glob("trial-*")
    events = EventAccumulator(str(run))
    events.Reload()
    stored = HParamsPluginData.FromString(
        events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    )
    shown = stored.session_start_info.hparams["label noise"].number_value
    assert shown == pytest.approx(best["label_noise"])
