from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from concrete_study.results.card import model_card
from concrete_study.results.evaluation import CHECKPOINTS, evaluate

MANIFEST: dict[str, Any] = {
    "name": "first",
    "created": "2026-11-23T10:00:00+00:00",
    "seconds": 287.4,
    "planned_trials": 30,
    "options": {
        "data": ["datasets"],
        "algorithm": "hyperband",
        "max_epochs": 10,
        "objective": "val_loss",
        "image_size": 96,
        "seed": 7,
        "weights": "bundled",
    },
    "images": {"train": 700, "validation": 150, "test": 150},
    "fingerprint": "ab" * 32,
    "versions": {"keras": "3.15.1"},
    "commit": None,
}


def metrics(
    classes: int, checkpoints: Sequence[str] = CHECKPOINTS[:2], **more: Any
) -> dict[str, Any]:
    names = [f"class{i}" for i in range(classes)]
    shares = np.eye(classes)[[*range(classes), 0]]
    predictions = pd.DataFrame(shares, columns=[f"p_{name}" for name in names])
    predictions["file"] = [f"{i}.jpg" for i in range(classes + 1)]
    predictions["class"] = [*names, names[-1]]  # the last image is mistaken for class0
    predictions = pd.concat(
        [predictions.assign(checkpoint=checkpoint) for checkpoint in checkpoints]
    )
    hyperparameters = {"head_units": 256, "dropout": 0.3, "head_learning_rate": 0.00123456}
    test = evaluate(predictions, names)
    return {"trial": "0016", "hyperparameters": {**hyperparameters, **more}, "test": test}


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_the_card_renders_for_any_number_of_classes(classes: int) -> None:
    card = model_card(MANIFEST, metrics(classes))
    header = " | ".join(f"class{i}" for i in range(classes))
    assert f"| true \\ predicted | {header} |" in card
    assert f"| class{classes - 1} | 1 |" in card
    assert f"{classes + 1} test images" in card


def test_the_card_tells_result_settings_use_licence_and_environment() -> None:
    card = model_card(MANIFEST, metrics(3))
    for text in (
        "**75.00 %** (Wilson 95 % interval",
        "| head learning rate | 0.00123 |",
        "hyperband, 30 trials, up to 10 epochs, 4 min 47 s",
        'keras.models.load_model("model.keras")',
        "96 x 96 pixels",
        "CC BY 4.0",
        "Visual Geometry Group",
        "| keras | 3.15.1 |",
    ):
        assert text in card
    assert "None" not in card


def test_the_card_says_whether_near_duplicates_were_kept_together() -> None:
    assert "Near-duplicates were not looked for" in model_card(MANIFEST, metrics(2))
    grouped = model_card({**MANIFEST, "groups": 41}, metrics(2))
    assert "near-duplicates kept together (41 groups)" in grouped
    assert "Near-duplicates were not looked for" not in grouped


def test_a_model_from_random_weights_does_not_claim_imagenet() -> None:
    options = {**MANIFEST["options"], "weights": "none"}
    assert "CC BY" not in model_card({**MANIFEST, "options": options}, metrics(2))
    own = {**MANIFEST["options"], "weights": "/mine/vgg16.weights.h5"}
    card = model_card({**MANIFEST, "options": own}, metrics(2))
    assert "CC BY" not in card
    assert "weights\nin `/mine/vgg16.weights.h5`, which have a licence of their own" in card


def test_the_card_counts_the_trials_that_were_run_and_says_what_ended_them() -> None:
    card = model_card({**MANIFEST, "stopped": "time budget"}, metrics(2), trials=7)
    assert "hyperband, 7 trials until the time budget was spent, up to 10 epochs" in card


def test_the_card_says_what_copies_do_to_its_accuracy() -> None:
    card = model_card(MANIFEST, metrics(2), caution="The 3 test images are of 2 groups.")
    assert "- The 3 test images are of 2 groups." in card[card.index("## Limits") :]


def test_a_manifest_with_the_bare_minimum_renders() -> None:
    bare = {"name": "first", "created": "2026-11-23", "options": {}}
    assert "# first: class0, class1" in model_card(bare, {"test": metrics(2)["test"]})


def test_a_study_of_the_built_in_sample_says_so_and_what_that_is_worth() -> None:
    options = {**MANIFEST["options"], "data": []}
    card = model_card({**MANIFEST, "options": options}, metrics(2))
    assert "| data | the built-in sample of synthetic photographs |" in card
    assert "says nothing\n  about real concrete" in card[card.index("## Limits") :]
    assert "synthetic" not in model_card(MANIFEST, metrics(2))
    assert "drawn by a program" not in model_card(MANIFEST, metrics(2))


@pytest.mark.parametrize(
    ("depth", "checkpoints", "phases"),
    [
        (3, CHECKPOINTS, 2),
        (0, ("before_training", "after_phase_1", "best"), 1),
        (3, ("before_training", "after_phase_1", "best"), 1),  # one epoch has no phase 2
    ],
)
def test_two_phases_are_told_only_where_there_were_two(
    depth: int, checkpoints: tuple[str, ...], phases: int
) -> None:
    card = model_card(MANIFEST, metrics(2, checkpoints, unfreeze_depth=depth))
    assert ("in two phases" in card) == (phases == 2)
    assert ("Only the new head was trained" in card) == (phases == 1)


def test_the_kept_epoch_is_a_row_of_its_own_and_explained() -> None:
    card = model_card(MANIFEST, metrics(2, CHECKPOINTS, unfreeze_depth=1))
    rows = [f"| {name} | 0.6667 |" for name in ("after phase 2", "kept epoch")]
    assert card.index(rows[0]) < card.index(rows[1])
    assert "The kept epoch is the one" in card
    assert "kept epoch" not in model_card(MANIFEST, metrics(2))


def test_the_card_tells_how_often_and_when_the_test_split_was_opened() -> None:
    first, second = "2026-11-23T12:00:00+00:00", "2026-11-24T09:30:00+00:00"
    once = model_card(MANIFEST, {**metrics(2), "test_opened": [first]})
    assert f"| test split opened | once: {first} |" in once
    assert "no longer unseen" not in once
    twice = model_card(MANIFEST, {**metrics(2), "test_opened": [first, second]})
    assert f"| test split opened | 2 times: {first}, {second} |" in twice
    limits = " ".join(twice[twice.index("## Limits") :].split())
    assert f"opened 2 times ({first}, {second})" in limits
    assert "is no longer unseen" in limits


def test_what_other_places_showed_stands_among_the_limits() -> None:
    found = {"data": "/photographs/decks", "test": metrics(3)["test"]}
    card = model_card(MANIFEST, metrics(3), [found])
    assert "On 4 photographs of another place (`decks`) its accuracy is\n  0.7500" in card
    assert "All images come from one data set" not in card
    assert "All images come from one data set" in model_card(MANIFEST, metrics(3))
    assert "## Intended use" in card
