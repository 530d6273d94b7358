"""The sections on the test: classification report, curves, calibration, misclassified images."""

from collections.abc import Sequence
from pathlib import PurePath

import pandas as pd

from concrete_study.results.evaluation import final_rows
from concrete_study.results.formats import counted, number
from concrete_study.results.records import EvaluationRecord, RetrainingRecord, TestReport
from concrete_study.results.report import score_figures, scores
from concrete_study.results.report.data import ReportData
from concrete_study.results.report.elements import Element, Plot, Plots, Section, Table
from concrete_study.results.report.images import MOST, StudyImages
from concrete_study.results.statistics import expected_calibration_error


def evaluation_sections(data: ReportData, images: StudyImages) -> list[Section]:
    """Every section that needs the retrained model's predictions; none before."""
    if data.retraining is None:
        return []
    sections = [_classification(data.retraining.test)]
    table = by_dataset_table(data.retraining, data.evaluations)
    if len(table):
        text = (
            "The same model on each dataset. Only external test sets (`study evaluate`) measure "
            "performance on images from other places and cameras."
        )
        caption = "Scores by dataset, with 95 % Wilson intervals."
        sections.append(Section("datasets", "Datasets", [text, Table("datasets", caption, table)]))
    if data.predictions is not None:
        sections += [
            _curves(data.predictions, data.classes),
            _calibration(data.predictions, data.classes),
            *_thresholds(data.validation, data.predictions, data.classes),
            _misclassified(data, data.predictions, images),
        ]
    return sections


def by_dataset_table(
    retraining: RetrainingRecord, evaluations: Sequence[EvaluationRecord]
) -> pd.DataFrame:
    """Scores on parts of the test images and on external test sets.

    Columns: dataset (the folder's name), subset (test or external), images, accuracy,
    accuracy_low, accuracy_high (Wilson 95 %), loss (nats), macro_f1.
    """
    tests = [(part.dataset, part.subset, part.test) for part in retraining.by_dataset]
    tests += [(PurePath(found.data).name, "external", found.test) for found in evaluations]
    rows = [
        (name, subset, t.images, t.accuracy, *t.accuracy_interval, t.loss, t.macro_f1)
        for name, subset, t in tests
    ]
    columns = ["dataset", "subset", "images", "accuracy", "accuracy_low", "accuracy_high", "loss"]
    return pd.DataFrame(rows, columns=[*columns, "macro_f1"])


def _classification(test: TestReport) -> Section:
    counts = scores.confusion_table(test)
    caption = "Number of images; the shade is the share of the true class."
    elements: list[Element] = [
        Table("classification", "Classification report.", scores.classification_table(test)),
        Plots([Plot("confusion", caption, counts, score_figures.draw_confusion)]),
    ]
    return Section("classification", "Classification report and confusion matrix", elements)


def _curves(predictions: pd.DataFrame, classes: Sequence[str]) -> Section:
    roc = scores.roc_points(predictions, classes)
    curve = scores.precision_recall_points(predictions, classes)
    elements: list[Element] = ["All test images are of one class, so the curves are undefined."]
    if len(roc):
        two = len(classes) == 2
        text = f"Positive class: {classes[1]}." if two else "Each class against all others."
        draw_roc, draw_curve = score_figures.draw_roc, score_figures.draw_precision_recall
        plots = [
            Plot("roc", "True positive rate against false positive rate.", roc, draw_roc),
            Plot("precision-recall", "Precision against recall.", curve, draw_curve),
        ]
        table = Table("areas", "Areas under the curves.", scores.areas(roc, curve))
        elements = [text, Plots(plots), table]
    return Section("roc", "ROC and precision-recall curves", elements)


def _calibration(predictions: pd.DataFrame, classes: Sequence[str]) -> Section:
    bins = scores.calibration(predictions, classes)
    error = expected_calibration_error(
        bins["mean_predicted_probability"], bins["fraction_of_positives"], bins["images"]
    )
    grouped, positive = (
        (f"predicted probability of {classes[1]}", f"images of {classes[1]}")
        if len(classes) == 2
        else ("probability of the predicted class", "correct predictions")
    )
    text = (
        f"Test images in {scores.BINS} bins by the {grouped}; positives are {positive}. Numbers "
        "are images per bin, bars 95 % Wilson intervals; bins with few images are uncertain. "
        f"Expected calibration error: {number(error)}."
    )
    caption = "On the dashed line, predicted probabilities equal observed fractions."
    plot = Plot("calibration", caption, bins, score_figures.draw_calibration)
    return Section("calibration", "Calibration", [text, Plots([plot])])


def _thresholds(
    validation: pd.DataFrame | None, predictions: pd.DataFrame, classes: Sequence[str]
) -> list[Section]:
    if validation is None or len(classes) != 2:
        return []  # of three classes, none is the positive one
    count = int((final_rows(validation)["class"] == classes[1]).sum())
    if count == 0:
        return []
    text = (
        f"The threshold is the probability from which an image is classified as {classes[1]}. Each "
        f"is chosen on the {count} validation images of {classes[1]} to reach a target recall, "
        "midway to the next lower probability, and evaluated on the test images. With "
        f"{count} images, recall changes in steps of {100 / count:.2g} %, so similar targets may "
        "have the same threshold."
    )
    frame = scores.thresholds(validation, predictions, classes)
    table = Table("thresholds", f"Recall and false positives of {classes[1]}.", frame)
    return [Section("thresholds", "Thresholds", [text, table])]


def _misclassified(data: ReportData, predictions: pd.DataFrame, images: StudyImages) -> Section:
    rows = scores.image_predictions(predictions, data.classes)
    wrong, unsure = scores.misclassified(rows), scores.least_confident(rows, MOST)
    count = counted(len(rows), "test image")
    text = (
        f"None of the {count} is misclassified."
        if wrong.empty
        else f"{len(wrong)} of {count} are misclassified."
    )
    if data.illustrations is not None:
        text += (
            " Next to each image is its Grad-CAM heat map at the last convolution layer: bright "
            "regions drive the predicted class."
        )
    elements: list[Element] = [text]
    for name, found, title in (
        ("misclassified", wrong, "Misclassified images, most confident first."),
        ("least-confident", unsure, "Correctly classified images, least confident first."),
    ):
        shown = found.head(MOST)
        captions = [
            f"{file}: {true}{f', predicted {predicted}' * (true != predicted)} ({p:.3f})"
            for file, true, predicted, p in zip(
                *(shown[name].tolist() for name in ("file", "true", "predicted", "p_predicted")),
                strict=True,
            )
        ]
        elements += images.gallery(name, title, shown["file"].tolist(), captions)
        if len(found):
            elements.append(Table(name, title, found, most=MOST))
    return Section("misclassified", "Misclassified and least confident images", elements)
