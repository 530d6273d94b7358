"""The sections on the test: classification report, curves, calibration, misclassified images."""

from collections.abc import Sequence

import pandas as pd

from concrete_study.results.evaluation import final_rows
from concrete_study.results.formats import counted, number
from concrete_study.results.report import score_figures, scores
from concrete_study.results.report.data import ReportData
from concrete_study.results.report.elements import Element, Plot, Section, Table
from concrete_study.results.report.images import MOST, gallery


def evaluation_sections(data: ReportData) -> list[Section]:
    """Every section that needs the retrained model's predictions; none before."""
    if data.retraining is None:
        return []
    test, classes = data.retraining.test, data.study.classes
    caption = "Number of images; the shade is the share of the true class."
    report = Table("classification", "Classification report.", scores.classification_table(test))
    counts = scores.confusion_table(test)
    plot = Plot("confusion", caption, counts, score_figures.draw_confusion)
    title = "Classification report and confusion matrix"
    sections = [Section("classification", title, [report, [plot]])]
    table = scores.by_dataset_table(data.retraining, data.evaluations)
    if len(table):
        text = (
            "The same model on each dataset. Only external test sets (`study evaluate`) measure "
            "performance on images from other places and cameras."
        )
        caption = "Scores by dataset, with 95 % Wilson intervals."
        sections.append(Section("datasets", "Datasets", [text, Table("datasets", caption, table)]))
    if data.predictions is not None:
        sections += [
            _curves(data.predictions, classes),
            _calibration(data.predictions, classes),
            *_thresholds(data.validation, data.predictions, classes),
            _misclassified(data, data.predictions),
        ]
    return sections


def _curves(predictions: pd.DataFrame, classes: Sequence[str]) -> Section:
    roc = scores.roc_points(predictions, classes)
    curve = scores.precision_recall_points(predictions, classes)
    elements: list[Element] = ["All test images are of one class, so the curves are undefined."]
    if len(roc):
        two = len(classes) == 2
        text = f"Positive class: {classes[1]}." if two else "Each class against all others."
        draw_roc, draw_curve = score_figures.draw_roc, score_figures.draw_precision_recall
        first = Plot("roc", "True positive rate against false positive rate.", roc, draw_roc)
        second = Plot("precision-recall", "Precision against recall.", curve, draw_curve)
        elements = [text, [first, second]]
    return Section("roc", "ROC and precision-recall curves", elements)


def _calibration(predictions: pd.DataFrame, classes: Sequence[str]) -> Section:
    bins = scores.calibration(predictions, classes)
    grouped, positive = (
        (f"predicted probability of {classes[1]}", f"images of {classes[1]}")
        if len(classes) == 2
        else ("probability of the predicted class", "correct predictions")
    )
    text = (
        f"Test images in {scores.BINS} bins by the {grouped}; positives are {positive}. Numbers "
        "are images per bin, bars 95 % Wilson intervals; bins with few images are uncertain. "
        f"Expected calibration error: {number(scores.expected_calibration_error(bins))}."
    )
    caption = "On the dashed line, predicted probabilities equal observed fractions."
    plot = Plot("calibration", caption, bins, score_figures.draw_calibration)
    return Section("calibration", "Calibration", [text, [plot]])


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


def _misclassified(data: ReportData, predictions: pd.DataFrame) -> Section:
    rows = scores.image_predictions(predictions, data.study.classes)
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
        predicted = ", predicted {predicted}" if found is wrong else ""
        caption = f"{{file}}: {{true}}{predicted} ({{p_predicted:.3f}})"
        captions = [caption.format_map(row) for row in shown.to_dict("records")]
        elements += gallery(data, name, title, shown["file"].tolist(), captions)
        if len(found):
            elements.append(Table(name, title, found, most=MOST))
    return Section("misclassified", "Misclassified and least confident images", elements)
