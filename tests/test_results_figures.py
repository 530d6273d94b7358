import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from msgspec.structs import replace
from numpy.testing import assert_array_equal
from PIL import Image

from concrete_study.results.figures import save_figure
from concrete_study.results.learning_curves import (
    best_curve,
    curves_table,
    draw_measure,
    draw_retraining,
    draw_rungs,
    draw_studies,
    fine_tuning,
    trial_curves,
)
from concrete_study.results.objectives import find_objective
from concrete_study.results.records import Epoch, TrialRecord
from concrete_study.results.report.score_figures import draw_confusion

LOSS = find_objective("val_loss")


def curve(*val_losses: float, second_phase: int = 99) -> list[Epoch]:
    return [
        Epoch(
            epoch=epoch,
            phase=2 if epoch >= second_phase else 1,
            loss=value / 2,
            accuracy=0.9,
            val_loss=value,
            val_accuracy=0.8,
            val_macro_f1=0.7,
        )
        for epoch, value in enumerate(val_losses, start=1)
    ]


def trial(name: str, epochs: int, score: float | None, *val_losses: float) -> TrialRecord:
    return TrialRecord(
        trial=name,
        status="failed" if score is None else "completed",
        hyperparameters={},
        epochs=epochs,
        seconds=1.0,
        score=score,
        best_epoch=None if score is None else val_losses.index(score) + 1,
        curve=curve(*val_losses),
    )


TRIALS = [
    trial("0002", 4, 0.1, 0.4, 0.3, 0.1, 0.2),
    trial("0000", 2, 0.5, 0.6, 0.5),
    trial("0001", 2, 0.4, 0.4, 0.45),
    trial("0003", 4, None, 0.4, math.nan),
    trial("0004", 10, None),
]


def counts(classes: Sequence[str], matrix: Sequence[Sequence[int]]) -> pd.DataFrame:
    return pd.concat(
        [pd.DataFrame({"true": classes}), pd.DataFrame(matrix, columns=list(classes))], axis=1
    )


def curves(*trained: TrialRecord) -> pd.DataFrame:
    return curves_table("study", {record.trial: record for record in trained})


def training(
    name: str, *val_losses: float, best: int | None = None, phase_2: int = 99
) -> TrialRecord:
    epochs = curve(*val_losses, second_phase=phase_2)
    return replace(trial(name, len(epochs), None), best_epoch=best, curve=epochs)


def test_a_curve_has_its_epochs_and_the_start_of_fine_tuning() -> None:
    found = curves(training("retraining", 0.6, 0.4, 0.2, best=3, phase_2=3))
    assert found["epoch"].tolist() == [1, 2, 3]
    assert found["val_loss"].tolist() == [0.6, 0.4, 0.2]
    assert found["best"].tolist() == [False, False, True]
    assert fine_tuning(found) == 3
    assert math.isnan(fine_tuning(curves(training("one phase", 0.6, 0.4))))


def test_the_start_of_fine_tuning_is_drawn_between_the_epochs() -> None:
    figure = draw_retraining(curves(training("retraining", 0.6, 0.4, 0.2, phase_2=3)))
    loss = figure.axes[0]
    assert_array_equal(loss.lines[-1].get_xdata(), [2.5, 2.5])
    assert {text.get_text().strip() for text in loss.texts} == {"head only", "fine-tuning"}


def test_rungs_are_separate_and_each_has_its_own_best_trial() -> None:
    rungs = {str(rung): found for rung, found in trial_curves(TRIALS).groupby("rung")}
    assert list(rungs) == ["2", "4"]
    assert [best_curve(found, LOSS) for found in rungs.values()] == ["0001", "0002"]
    names = [found["trial"].unique().tolist() for found in rungs.values()]
    assert names == [["0000", "0001"], ["0002", "0003"]]
    assert rungs["4"]["val_loss"].tolist()[:4] == [0.4, 0.3, 0.1, 0.2]


def test_the_first_of_equal_trials_is_the_best_one() -> None:
    equal = curves(training("0001", 0.5, best=1), training("0002", 0.5, best=1))
    assert best_curve(equal, LOSS) == "0001"


def test_a_rung_of_failures_has_no_best_trial() -> None:
    assert best_curve(trial_curves([TRIALS[3]]), LOSS) is None


def test_the_confusion_matrix_has_counts_and_not_shares() -> None:
    axes = draw_confusion(counts(["a", "b"], [[900, 100], [0, 5]])).axes[0]
    assert [text.get_text() for text in axes.texts] == ["900", "100", "0", "5"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Predicted class", "True class")


@pytest.mark.parametrize(
    "figure",
    [
        draw_retraining(curves(training("empty"))),
        draw_retraining(curves(training("one", 0.5, best=1))),
        draw_retraining(curves(training("NaN", 0.5, math.nan, phase_2=2))),
        draw_measure(curves(training("a", 0.5, best=1), training("b", 0.9)), measure="loss"),
        draw_studies(curves(training("a", 0.5, best=1)), measure="accuracy"),
        draw_rungs(trial_curves([]), objective=LOSS),
        draw_rungs(trial_curves(TRIALS), objective=LOSS),
        draw_confusion(counts(["a", "b"], [[0, 0], [0, 0]])),
        draw_confusion(counts([f"class {i}" for i in range(10)], [[1] * 10] * 10)),
    ],
    ids=[
        "empty",
        "one epoch",
        "NaN",
        "scratch",
        "studies",
        "no trials",
        "rungs",
        "no images",
        "ten classes",
    ],
)
def test_every_figure_can_be_saved(figure: Figure, tmp_path: Path) -> None:
    save_figure(figure, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert image.format == "PNG"
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
