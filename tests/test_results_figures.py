import math
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_array_equal
from PIL import Image

from concrete_study.results.figures import (
    Confusion,
    collect_confusion,
    collect_learning_curves,
    collect_rungs,
    draw_confusion,
    draw_learning_curves,
    draw_rungs,
    save_figure,
)
from concrete_study.results.records import Epoch, TrialRecord


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
        curve=curve(*val_losses),
    )


TRIALS = [
    trial("0002", 4, 0.1, 0.4, 0.3, 0.1, 0.2),
    trial("0000", 2, 0.5, 0.6, 0.5),
    trial("0001", 2, 0.4, 0.4, 0.45),
    trial("0003", 4, None, 0.4, math.nan),
    trial("0004", 10, None),
]


def test_learning_curves_hold_the_epochs_the_change_of_phase_and_the_kept_epoch() -> None:
    curves = collect_learning_curves(curve(0.6, 0.4, 0.2, second_phase=3), selected=3)
    assert curves.epochs == [1, 2, 3]
    assert curves.val_loss == [0.6, 0.4, 0.2]
    assert curves.loss == [0.3, 0.2, 0.1]
    assert (curves.second_phase, curves.selected) == (3, 3)


def test_training_without_a_second_phase_has_no_change_of_phase() -> None:
    assert collect_learning_curves(curve(0.6, 0.4)).second_phase is None


def test_the_change_of_phase_is_drawn_between_the_epochs() -> None:
    figure = draw_learning_curves(collect_learning_curves(curve(0.6, 0.4, 0.2, second_phase=3)))
    loss = figure.axes[0]
    assert_array_equal(loss.lines[-1].get_xdata(), [2.5, 2.5])
    assert {text.get_text().strip() for text in loss.texts} == {"head only", "fine-tuning"}


def test_rungs_are_apart_and_each_has_its_own_best() -> None:
    rungs = collect_rungs(TRIALS, objective="val_loss")
    assert [rung.epochs for rung in rungs] == [2, 4]
    assert [rung.best for rung in rungs] == ["0001", "0002"]
    assert [[one.trial for one in rung.curves] for rung in rungs] == [
        ["0000", "0001"],
        ["0002", "0003"],
    ]
    assert rungs[1].curves[0].values == [0.4, 0.3, 0.1, 0.2]


def test_the_objective_chooses_the_curve() -> None:
    rungs = collect_rungs(TRIALS, objective="val_macro_f1")
    assert rungs[0].curves[0].values == [0.7, 0.7]


def test_a_rung_of_failures_has_no_best() -> None:
    assert collect_rungs([TRIALS[3]], objective="val_loss")[0].best is None


def test_the_matrix_shows_counts_and_not_shares() -> None:
    test: dict[str, Any] = {"classes": ["a", "b"], "confusion_matrix": [[900, 100], [0, 5]]}
    figure = draw_confusion(collect_confusion(test))
    assert [text.get_text() for text in figure.axes[0].texts] == ["900", "100", "0", "5"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b"]


@pytest.mark.parametrize(
    "figure",
    [
        draw_learning_curves(collect_learning_curves([])),
        draw_learning_curves(collect_learning_curves(curve(0.5), selected=1)),
        draw_learning_curves(collect_learning_curves(curve(0.5, math.nan, second_phase=2))),
        draw_rungs([], objective="val_loss"),
        draw_rungs(collect_rungs(TRIALS, objective="val_loss"), objective="val_loss"),
        draw_confusion(Confusion(["a", "b"], [[0, 0], [0, 0]])),
        draw_confusion(Confusion([f"class {i}" for i in range(10)], [[1] * 10] * 10)),
    ],
    ids=["empty", "one epoch", "NaN", "no trials", "rungs", "no images", "ten classes"],
)
def test_every_figure_can_be_saved(figure: Figure, tmp_path: Path) -> None:
    save_figure(figure, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert image.format == "PNG"
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
