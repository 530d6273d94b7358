"""The model card: what the model is, how it was made, how good it is, and its limits."""

from collections.abc import Sequence

from concrete_study.datasets.files import write_text
from concrete_study.results.diagnosis import diagnosis_text
from concrete_study.results.evaluation import CHECKPOINT_NAMES, clustered_accuracy, read_predictions
from concrete_study.results.evaluation_records import EvaluationRecord, RetrainingRecord, TestReport
from concrete_study.results.folder import StudyFolder
from concrete_study.results.formats import duration, markdown_table, number
from concrete_study.results.headlines import (
    balance_text,
    calibration_text,
    estimate_text,
    interval_text,
)
from concrete_study.results.hyperparameters import by_name
from concrete_study.results.metrics import SCORES
from concrete_study.results.records import StudyRecord
from concrete_study.results.report.scores import (
    MANY_CLASSES,
    confusion_table,
    evaluation_names,
    top_confusions,
)
from concrete_study.results.templating import templates


def write_card(study: StudyFolder) -> None:
    """Replaces `best/model-card.md` of a retrained study.

    Raises:
        NotRetrainedError: If the study is not retrained.
        StudyStateError: If a file of the study is damaged.
    """
    record, predictions = study.manifest(), read_predictions(study.predictions_path)
    card = model_card(
        record,
        study.required_metrics(),
        study.evaluations(),
        trials=len(study.trials()),
        clustering=clustered_accuracy(predictions, record.classes, study.split()),
    )
    write_text(study.card_path, card)


def model_card(
    study: StudyRecord,
    retraining: RetrainingRecord,
    evaluations: Sequence[EvaluationRecord] = (),
    *,
    trials: int,
    clustering: str = "",
) -> str:
    """The model card in Markdown, for any number of classes.

    Args:
        study: The study.
        retraining: Its retrained model.
        evaluations: Of the model on external test sets.
        trials: How many trials the search ran.
        clustering: The test accuracy clustered by group, in words; empty if it is the same.
    """
    checkpoints = retraining.test.checkpoints.items()
    tests = [found.test for found in evaluations]
    return (
        templates()
        .get_template("model-card.md.jinja")
        .render(
            study=study,
            options=study.options,
            retraining=retraining,
            test=retraining.test,
            trials=trials,
            clustering=clustering,
            duration=duration(study.seconds),
            image_size=retraining.hyperparameters["image_size"],
            hyperparameters={
                hyperparameter.label: hyperparameter.text(retraining.hyperparameters[name])
                for name, hyperparameter in by_name().items()
                if name in retraining.hyperparameters
            },
            fine_tuned=any(epoch.phase == 2 for epoch in retraining.curve),
            checkpoints={CHECKPOINT_NAMES[name]: scores for name, scores in checkpoints},
            best_checkpoint=CHECKPOINT_NAMES["best"],
            confusion=_confusion(retraining.test),
            report=_report(retraining.test),
            external=list(zip(evaluation_names(evaluations), tests, strict=True)),
            number=number,
            balance=balance_text(retraining.test),
            scores={
                label: estimate_text(getattr(retraining.test.scores, name))
                for name, label in SCORES.items()
            },
            intervals=interval_text(retraining.test),
            diagnosis=diagnosis_text,
            calibration_text=calibration_text,
        )
    )


def _confusion(test: TestReport) -> str:
    if len(test.classes) >= MANY_CLASSES:
        table = top_confusions(confusion_table(test))
        rows = table.to_numpy().tolist()
        return "Most frequent confusions:\n\n" + markdown_table(list(table.columns), rows)
    counts = zip(test.classes, test.confusion_matrix, strict=True)
    return "Confusion matrix, with true classes as rows:\n\n" + markdown_table(
        ["true \\ predicted", *test.classes], [[name, *row] for name, row in counts]
    )


def _report(test: TestReport) -> str:
    rows = [
        [name, number(row.precision), number(row.recall), number(row.f1), row.support]
        for name, row in test.by_class.items()
    ]
    return markdown_table(["class", "precision", "recall", "f1-score", "support"], rows)
