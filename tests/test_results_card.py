from typing import Any

import numpy as np
import pandas as pd
import pytest

from results.card import model_card
from results.evaluation import evaluate

MANIFEST: dict[str, Any] = {
    "name": "first",
    "created": "2026-11-23T10:00:00+00:00",
    "seconds": 287.4,
    "planned_trials": 30,
    "options": {
        "data": "datasets",
        "algorithm": "hyperband",
        "max_epochs": 10,
        "objective": "val_loss",
        "image_size": 96,
        "seed": 7,
        "weights": "imagenet",
    },
    "images": {"train": 700, "validation": 150, "test": 150},
    "fingerprint": "ab" * 32,
    "versions": {"keras": "3.15.1"},
    "commit": None,
}


def metrics(classes: int) -> dict[str, Any]:
    names = [f"class{i}" for i in range(classes)]
    shares = np.eye(classes)[[*range(classes), 0]]
    predictions = pd.DataFrame(shares, columns=[f"p_{name}" for name in names])
    predictions["file"] = [f"{i}.jpg" for i in range(classes + 1)]
    predictions["class"] = [*names, names[-1]]  # the last image is mistaken for class0
    predictions["stage"] = "after_phase_1"
    settings = {"head_units": 256, "dropout": 0.3, "head_learning_rate": 0.00123456}
    return {"trial": "0016", "settings": settings, "test": evaluate(predictions, names)}


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


def test_a_manifest_with_the_bare_minimum_renders() -> None:
    bare = {"name": "first", "created": "2026-11-23", "options": {}}
    assert "# first: class0, class1" in model_card(bare, {"test": metrics(2)["test"]})
