"""Event files, read by TensorBoard's own reader."""

from pathlib import Path

import pytest
import tensorflow as tf
from small_report import curve as made_up_curve
from small_study import Recorder, Search, small_options
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from concrete_study.results.folder import StudyFolder
from concrete_study.results.hyperparameters import by_name
from concrete_study.search.runner import run_search
from concrete_study.search.tensorboard import TrialBoard, write_best


def read(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(run))
    events.Reload()
    return events


def curve(run: Path, tag: str) -> dict[int, float]:
    return {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in read(run).Tensors(tag)}


def hyperparameters(run: Path) -> dict[str, float | str]:
    stored = HParamsPluginData.FromString(
        read(run).SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    )
    given = stored.session_start_info.hparams
    return {name: value.string_value or value.number_value for name, value in given.items()}


def test_every_trial_has_its_hyperparameters_score_and_curves_by_phase(
    whole: Search, tmp_path: Path
) -> None:
    board = TrialBoard(tmp_path, whole.options.space, "val_loss")
    for record in whole.records * 2:  # written twice: a resumed search writes all of them again
        board.write(record)
    for record in whole.records:
        run = tmp_path / f"trial-{record.trial}-at-{record.epochs}-epochs"
        known = by_name()
        labels = {known[name].label: value for name, value in record.hyperparameters.items()}
        written = hyperparameters(run)
        assert written.keys() == labels.keys()
        for name, value in labels.items():
            assert written[name] == (value if isinstance(value, str) else pytest.approx(value))
        assert curve(run, "score") == {record.best_epoch: pytest.approx(record.score)}
        for phase in {epoch.phase for epoch in record.curve}:
            expected = {
                e.epoch: pytest.approx(e.val_loss) for e in record.curve if e.phase == phase
            }
            assert curve(run, f"phase {phase}/validation loss") == expected
            assert set(curve(run, f"phase {phase}/training accuracy")) == set(expected)
    assert read(tmp_path).Tags()["tensors"] == ["_hparams_/experiment"]


def test_training_and_validation_of_the_best_share_their_charts(tmp_path: Path) -> None:
    epochs = made_up_curve(0.2, 5)
    for _ in range(2):
        write_best(tmp_path / "best", epochs)
    assert len(list((tmp_path / "best").glob("*/events*"))) == 2  # replaced, not added to
    for subset, field in (("training", "loss"), ("validation", "val_loss")):
        for phase in (1, 2):
            expected = {e.epoch: getattr(e, field) for e in epochs if e.phase == phase}
            written = curve(tmp_path / "best" / subset, f"best, phase {phase}/loss")
            assert written == pytest.approx(expected)


def test_a_search_writes_event_files_on_request(slabs: Path, tmp_path: Path) -> None:
    study = StudyFolder(tmp_path / "s")
    run_search(small_options(slabs, max_epochs=1), study, Recorder(), tensorboard=True)
    runs = {path.name for path in study.tensorboard_path.iterdir() if path.is_dir()}
    assert runs == {f"trial-{record.trial}-at-1-epochs" for record in study.trials()}
