"""A search by cross-validation, from its options to what it stores."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace
from sklearn.metrics import log_loss
from small_study import Recorder, Search, searched, small_options, without_times

from concrete_study.datasets.errors import DataError
from concrete_study.datasets.folds import Fold
from concrete_study.datasets.splits import SplitRow, read_split
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import SearchOptions, TrialRecord
from concrete_study.search.out_of_fold import out_of_fold_table, store_out_of_fold
from concrete_study.search.runner import plan_search, run_search

pytestmark = pytest.mark.slow

CHANGES = {"folds": 2, "repeats": 2}


@pytest.fixture(scope="module")
def folded(slabs: Path, tmp_path_factory: pytest.TempPathFactory) -> Search:
    """A small search by two folds and two repeats, from its start to its end."""
    return searched(slabs, tmp_path_factory.mktemp("runs") / "folded", **CHANGES)


def test_every_trial_of_a_search_by_folds_has_a_standard_error(folded: Search) -> None:
    assert folded.study.manifest().options.folds == 2
    assert {record.hyperparameters["unfreeze_depth"] for record in folded.records} == {0, 1}
    assert all((record.standard_error or 0) > 0 for record in folded.records)
    log = "\n".join(folded.recorder.messages)
    assert "2-fold cross-validation on 24 images, 2 seeds each" in log


def test_a_search_that_ends_before_a_record_resumes_to_the_same_records_and_predictions(
    folded: Search, slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, options = StudyFolder(tmp_path / "interrupted"), small_options(slabs, **CHANGES)
    write, last = StudyFolder.write_trial, folded.best.trial

    def interrupted(study: StudyFolder, record: TrialRecord) -> None:
        if record.trial == last:
            raise KeyboardInterrupt
        write(study, record)

    with monkeypatch.context() as patch:
        patch.setattr(StudyFolder, "write_trial", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_search(options, study, Recorder())
    assert without_times(study.trials()) == folded.records[: int(last)]
    best = run_search(options, study, Recorder(), resume=True)
    assert replace(best, seconds=0) == replace(folded.best, seconds=0)
    assert without_times(study.trials()) == folded.records
    for path in ("out-of-fold.csv", *(f"trials/{r.trial}.csv" for r in folded.records)):
        assert (study.path / path).read_bytes() == (folded.study.path / path).read_bytes()


def test_the_best_score_and_its_error_follow_from_the_out_of_fold_predictions(
    slabs: Path, tmp_path: Path
) -> None:
    """With one repeat; of several the file has mean probabilities, whose loss is lower."""
    changes = {"max_epochs": 1, "algorithm": "random", "trials": 2, "objective": "val_loss"}
    found = searched(slabs, tmp_path / "s", folds=3, **changes)
    table = pd.read_csv(found.study.path / "out-of-fold.csv")
    assert list(table)[:4] == ["file", "label", "group", "fold"]
    rows = read_split(found.study.split_path)
    assert sorted(table["file"]) == sorted(row.file for row in rows if row.subset != "test")
    assert table.groupby("group")["fold"].nunique().max() == 1
    classes = found.study.manifest().classes
    predicted = table[[f"p_{name}" for name in classes]].clip(1e-7, 1)  # as all losses here
    predicted = predicted.div(predicted.sum(axis=1), axis=0)
    losses = [
        log_loss(part["label"], predicted.loc[part.index], labels=classes)
        for _, part in table.groupby("fold")
    ]
    assert len(losses) == 3
    assert np.mean(losses) == pytest.approx(found.best.score, rel=1e-5)
    assert np.std(losses, ddof=1) / 3**0.5 == pytest.approx(found.best.standard_error, rel=1e-4)


def test_more_folds_than_groups_are_refused_before_anything_is_computed(
    slabs: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="20 folds are too many"):
        plan_search(small_options(slabs, folds=20), StudyFolder(tmp_path / "s"), Recorder())


def test_predictions_stand_in_the_order_of_the_images() -> None:
    rows = [SplitRow(f"{n}.jpg", "no" if n % 2 else "yes", "train", f"g{n}", "") for n in range(4)]
    folds = [Fold(np.array([0, 2]), np.array([3, 1])), Fold(np.array([3, 1]), np.array([0, 2]))]
    predicted = [np.full((2, 2), 0.25, "float32"), np.full((2, 2), 0.75, "float32")]
    table = out_of_fold_table(rows, folds, predicted, ["no", "yes"])
    assert table.columns.tolist() == ["file", "label", "group", "fold", "p_no", "p_yes"]
    assert table.iloc[1].tolist() == ["1.jpg", "no", "g1", 1, 0.25, 0.25]
    assert table["fold"].tolist() == [2, 1, 2, 1]


def test_a_later_trial_can_make_an_earlier_one_the_best(tmp_path: Path) -> None:
    study, options = StudyFolder(tmp_path / "s"), SearchOptions(select="1se")
    trials = [
        TrialRecord(
            trial=f"000{n}",
            status="completed",
            hyperparameters={"unfreeze_depth": depth},
            epochs=10,
            seconds=1.0,
            score=score,
            standard_error=error,
        )
        for n, (depth, score, error) in enumerate([(0, 0.4, 0.1), (3, 0.2, 0.1), (3, 0.1, 0.5)])
    ]
    stored = []
    for n in range(3):
        table = pd.DataFrame({"trial": [n]})
        store_out_of_fold(study, trials[: n + 1], options, table)
        stored.append(pd.read_csv(study.path / "out-of-fold.csv")["trial"].item())
    assert stored == [0, 1, 0]
