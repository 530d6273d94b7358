from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace
from small_records import evaluation_record, retraining_record, study_record
from small_report import curve

from concrete_study.results.card import model_card
from concrete_study.results.evaluation import CHECKPOINTS, evaluate
from concrete_study.results.evaluation_records import Estimate, RetrainingRecord, TestReport
from concrete_study.results.records import SearchOptions, StudyRecord


def study(options: dict[str, Any] | None = None, **changes: Any) -> StudyRecord:
    given = {"data": ("datasets",), "seed": 7, **(options or {})}
    fields: dict[str, Any] = {
        "options": SearchOptions(**given),
        "seconds": 287.4,
        "images": {"train": 700, "validation": 150, "test": 150},
        "versions": {"keras": "3.15.1"},
        "groups": None,
    }
    return study_record("first", **fields | changes)


def report(classes: int, checkpoints: Sequence[str] = CHECKPOINTS[:2]) -> TestReport:
    names = [f"class{i}" for i in range(classes)]
    shares = np.eye(classes)[[*range(classes), 0]]
    predictions = pd.DataFrame(shares, columns=[f"p_{name}" for name in names])
    predictions["file"] = [f"{i}.jpg" for i in range(classes + 1)]
    predictions["class"] = [*names, names[-1]]  # the last image is misclassified as class0
    return evaluate(
        pd.concat([predictions.assign(checkpoint=checkpoint) for checkpoint in checkpoints]), names
    )


def retraining(
    classes: int, checkpoints: Sequence[str] = CHECKPOINTS[:2], **changes: Any
) -> RetrainingRecord:
    values = {"head_units": 256, "dropout": 0.3, "head_learning_rate": 0.00123456}
    values["image_size"] = 96
    test = report(classes, checkpoints)
    return retraining_record("first", test=test, hyperparameters=values, **changes)


def card_of(study: StudyRecord, retraining: RetrainingRecord, **more: Any) -> str:
    return model_card(study, retraining, **{"trials": 30, **more})


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_the_card_renders_for_any_number_of_classes(classes: int) -> None:
    card = card_of(study(), retraining(classes))
    header = " | ".join(f"class{i}" for i in range(classes))
    assert f"| true \\ predicted | {header} |" in card
    assert f"| class{classes - 1} | 1 |" in card
    assert f"{classes + 1} test images" in card


def test_the_card_has_results_hyperparameters_usage_licence_and_environment() -> None:
    card = card_of(study(), retraining(3))
    for text in (
        "**75.00 %** (Wilson 95 % interval",
        "| head learning rate | 1.2e-3 |",
        "hyperband, 30 trials, up to 10 epochs, 4 min 47 s",
        'keras.models.load_model("model.keras")',
        "96 x 96 pixels",
        "CC BY 4.0",
        "Visual Geometry Group",
        "| keras | 3.15.1 |",
    ):
        assert text in card
    assert "None" not in card


def test_the_card_names_the_kind_of_split() -> None:
    assert "Near-duplicates were not searched for" in card_of(study(), retraining(2))
    grouped = card_of(study(groups=41), retraining(2))
    assert "grouped by near-duplicates (41 groups)" in grouped
    assert "Near-duplicates were not searched for" not in grouped


def test_a_model_from_random_weights_does_not_claim_imagenet() -> None:
    assert "CC BY" not in card_of(study({"weights": "none"}), retraining(2))
    card = card_of(study({"weights": "/mine/vgg16.weights.h5"}), retraining(2))
    assert "CC BY" not in card
    assert "the weights in `/mine/vgg16.weights.h5`, which have their own licence" in card


def test_the_card_has_the_number_of_trials_and_what_stopped_the_search() -> None:
    card = card_of(study(stopped="time budget"), retraining(2), trials=7)
    assert "hyperband, 7 trials (stopped by the time budget), up to 10 epochs" in card


def test_the_accuracy_clustered_by_group_is_among_the_limitations() -> None:
    card = card_of(study(), retraining(2), clustering="The 3 test images are of 2 groups.")
    assert "- The 3 test images are of 2 groups." in card[card.index("## Limitations") :]


def test_a_study_of_the_built_in_sample_says_nothing_about_real_concrete() -> None:
    card = card_of(study({"data": ()}), retraining(2))
    assert "| data | the built-in sample of synthetic images |" in card
    limitations = card[card.index("## Limitations") :]
    assert "built-in synthetic sample and say nothing about real concrete" in limitations
    assert "synthetic" not in card_of(study(), retraining(2))


@pytest.mark.parametrize("phases", [1, 2])
def test_two_phases_are_mentioned_only_if_there_are_two(phases: int) -> None:
    epochs = [epoch for epoch in curve(0.1, 10) if epoch.phase <= phases]
    card = card_of(study(), retraining(2, curve=epochs))
    assert ("in two phases" in card) == (phases == 2)
    assert ("Only the new head was trained" in card) == (phases == 1)


def test_the_best_epoch_has_its_own_row_and_an_explanation() -> None:
    card = card_of(study(), retraining(2, CHECKPOINTS))
    rows = [f"| {name} | 0.6667 |" for name in ("after phase 2", "best epoch")]
    assert card.index(rows[0]) < card.index(rows[1])
    assert 'The checkpoint "best epoch" has the best score' in card
    assert "best epoch" not in card_of(study(), retraining(2))


def test_a_small_loss_never_prints_as_zero() -> None:
    test = report(2)
    loss = Estimate(value=4e-7, low=3e-7, high=5e-7)
    test = replace(test, scores=replace(test.scores, loss=loss))
    assert "| log loss | 4.0e-7 (3.0e-7 to 5.0e-7) |" in card_of(
        study(), replace(retraining(2), test=test)
    )


def test_the_card_has_the_times_of_all_evaluations_of_the_test_split() -> None:
    first, second = "2026-11-23T12:00:00+00:00", "2026-11-24T09:30:00+00:00"
    once = card_of(study(), retraining(2, test_opened=[first]))
    assert f"| test split evaluated | once: {first} |" in once
    assert "no longer unseen" not in once
    twice = card_of(study(), retraining(2, test_opened=[first, second]))
    assert f"| test split evaluated | 2 times: {first}, {second} |" in twice
    limitations = " ".join(twice[twice.index("## Limitations") :].split())
    assert f"evaluated 2 times ({first}, {second})" in limitations
    assert "is no longer unseen" in limitations


def test_the_card_names_a_test_split_in_a_folder_of_its_own() -> None:
    record = study()
    options = replace(record.options, data=("/photographs",), test="/tests")
    card = card_of(replace(record, options=options), retraining(2))
    assert "| data | `/photographs`; test split: `/tests` |" in card


def test_external_test_sets_are_among_the_limitations() -> None:
    found = evaluation_record("first", test=report(3), data="/photographs/decks")
    card = card_of(study(), retraining(3), evaluations=[found])
    assert "On the external test set `decks` (4 images) its accuracy is\n  0.7500" in card
    assert "All images come from one dataset" not in card
    assert "All images come from one dataset" in card_of(study(), retraining(3))
    assert "## Intended use" in card
