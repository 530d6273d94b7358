"""The model card: what was made, from what, how good it is and where it ends."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from concrete_study.datasets.files import write_text
from concrete_study.datasets.splits import read_split
from concrete_study.results.evaluation import CHECKPOINT_NAMES, clustered_accuracy, read_predictions
from concrete_study.results.folder import StudyFolder
from concrete_study.results.formats import duration, markdown_table
from concrete_study.results.templating import templates

_REPORT = ("precision", "recall", "f1-score")


def write_card(study: StudyFolder) -> None:
    """Writes `best/model-card.md` of a retrained study anew.

    Raises:
        StudyStateError: If a file of the study is damaged.
    """
    manifest = study.manifest()
    card = model_card(
        manifest,
        study.metrics() or {},
        study.evaluations(),
        trials=len(study.trials()),
        caution=clustered_accuracy(
            read_predictions(study.predictions_path),
            manifest["classes"],
            read_split(study.split_path),
        ),
    )
    write_text(study.card_path, card)


def model_card(
    manifest: Mapping[str, Any],
    metrics: Mapping[str, Any],
    evaluations: Sequence[Mapping[str, Any]] = (),
    *,
    trials: int | None = None,
    caution: str = "",
) -> str:
    """The model card in Markdown.

    Args:
        manifest: study.json. Its name, created and options are needed; images, classes,
            seconds, planned_trials, versions, commit, fingerprint and groups (how many
            groups of near-duplicates the split kept together) are told if they are there.
        metrics: best/metrics.json. `test` is what `evaluate` returned; trial and hyperparameters
            are told if they are there, and so is test_opened, the times at which the test
            split was opened.
        evaluations: What `study evaluate` found on other folders.
        trials: How many the search has run; None tells what was planned.
        caution: What `results.evaluation.clustered_accuracy` says of the test.

    Returns:
        Markdown text for any number of classes.

    Raises:
        KeyError: If a needed entry is missing.
    """
    test, options = metrics["test"], manifest["options"]
    hyperparameters = metrics.get("hyperparameters", {})
    low, high = test["accuracy_interval"]
    return (
        templates()
        .get_template("model-card.md.jinja")
        .render(
            name=manifest["name"],
            created=str(manifest["created"])[:10],
            options=options,
            is_sample=manifest["is_sample"],
            image_size=options.get("image_size", 224),
            manifest=manifest,
            metrics=metrics,
            groups=manifest.get("groups"),
            trials=trials or manifest.get("planned_trials"),
            caution=caution,
            trial=metrics.get("trial"),
            hyperparameters={
                key.replace("_", " "): _number(value) for key, value in hyperparameters.items()
            },
            # One epoch is all phase 1's, whatever the depth.
            fine_tuned=hyperparameters.get("unfreeze_depth", 0) > 0
            and "after_phase_2" in test["checkpoints"],
            duration=duration(manifest["seconds"]) if manifest.get("seconds") else None,
            test=test,
            low=low,
            high=high,
            checkpoints={
                CHECKPOINT_NAMES[checkpoint]: scores
                for checkpoint, scores in test["checkpoints"].items()
            },
            kept=CHECKPOINT_NAMES["best"],
            opened=metrics.get("test_opened", []),
            confusion=_confusion(test),
            report=_report(test),
            external=[
                (PurePath(found["data"]).name, found["test"], found["test"]["accuracy_interval"])
                for found in evaluations
            ],
        )
    )


def _confusion(test: Mapping[str, Any]) -> str:
    head = ["true \\ predicted", *test["classes"]]
    counts = zip(test["classes"], test["confusion_matrix"], strict=True)
    return markdown_table(head, [[name, *row] for name, row in counts])


def _report(test: Mapping[str, Any]) -> str:
    rows = [
        [name, *(f"{test['report'][name][column]:.4f}" for column in _REPORT), entry["support"]]
        for name, entry in ((name, test["report"][name]) for name in test["classes"])
    ]
    return markdown_table(["class", *_REPORT, "images"], rows)


def _number(value: float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
