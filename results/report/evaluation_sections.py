"""The sections on the test: classification report, curves, calibration, misclassified images."""

from collections.abc import Sequence

import pandas as pd

from concrete_study.datasets.splits import EXTERNAL
from concrete_study.results.diagnosis import diagnosis_text
from concrete_study.results.evaluation import final_rows
from concrete_study.results.evaluation_records import TestReport
from concrete_study.results.formats import counted
from concrete_study.results.headlines import estimate_text, interval_text
from concrete_study.results.metrics import BINS
from concrete_study.results.positive_class import find_positive_class
from concrete_study.results.report import score_figures, scores
from concrete_study.results.report.data import ReportData
from concrete_study.results.report.elements import Element, Plot, Section, Table
from concrete_study.results.report.images import MOST, gallery
from concrete_study.results.thresholds import thresholds


def evaluation_sections(data: ReportData) -> list[Section]:
    """Every section that needs the retrained model's predictions; none before."""
    if data.retraining is None:
        return []
    test, classes = data.retraining.test, data.study.classes
    positive = find_positive_class(classes, data.study.positive_class)
    caption = "Number of images; the shade is the share of the true class."
    if len(classes) >= scores.MANY_CLASSES:
        caption = f"The {scores.TOP_CONFUSIONS} most frequent confusions; the CSV has all classes."
    text = f"Scores on the {counted(test.images, 'test image')}: {interval_text(test)}."
    found = Table("scores", text, scores.scores_table(test))
    report = Table("classification", "Classification report.", scores.classification_table(test))
    counts = scores.confusion_table(test)
    plot = Plot("confusion", caption, counts, score_figures.draw_confusion)
    title = "Scores, classification report and confusion matrix"
    sections = [Section("classification", title, [found, report, [plot]])]
    table = scores.by_dataset_table(data.retraining, data.evaluations)
    if len(table):
        text = (
            "The same model on each dataset. Only external test sets (`study evaluate`) measure "
            "performance on images from other places and cameras."
        )
        caption = (
            "Scores by dataset, with 95 % intervals: of accuracy Wilson, of others bootstrap "
            "over groups."
        )
        shown = [text, Table("datasets", caption, table, transposed=True), *_diagnoses(data)]
        sections.append(Section("datasets", "Datasets", shown))
    if data.predictions is not None:
        sections += [
            _curves(data.predictions, classes, positive),
            _calibration(data.predictions, test, positive),
            *_thresholds(data.validation, data.predictions, positive),
            _misclassified(data, data.predictions),
        ]
    return sections


def _diagnoses(data: ReportData) -> list[Element]:
    """For each external test set, whether ranking or threshold failed."""
    parts = data.retraining.by_dataset if data.retraining else []
    tests = [(part.dataset, part.test) for part in parts if part.subset == EXTERNAL]
    names = scores.evaluation_names(data.evaluations)
    tests += [(n, found.test) for n, found in zip(names, data.evaluations, strict=True)]
    return [f"{name}: {text}" for name, test in tests if (text := diagnosis_text(test))]


def _curves(predictions: pd.DataFrame, classes: Sequence[str], positive: str | None) -> Section:
    roc = scores.roc_points(predictions, classes, positive)
    curve = scores.precision_recall_points(predictions, classes, positive)
    elements: list[Element] = ["Curves and AUC are undefined: one class has all test images."]
    if len(roc):
        text = f"Positive class: {positive}." if positive else "Each class against all others."
        draw_roc, draw_curve = score_figures.draw_roc, score_figures.draw_precision_recall
        first = Plot("roc", "True positive rate against false positive rate.", roc, draw_roc)
        second = Plot("precision-recall", "Precision against recall.", curve, draw_curve)
        elements = [text, [first, second]]
    return Section("roc", "ROC and precision-recall curves", elements)


def _calibration(predictions: pd.DataFrame, test: TestReport, positive: str | None) -> Section:
    bins = scores.calibration(predictions, test.classes, positive)
    grouped, positive = (
        (f"predicted probability of {positive}", f"images of {positive}")
        if positive
        else ("probability of the predicted class", "correct predictions")
    )
    text = (
        f"Test images in {BINS} bins by the {grouped}; positives are {positive}. Numbers "
        "are images per bin, bars 95 % Wilson intervals; bins with few images are uncertain. "
        f"Expected calibration error: {estimate_text(test.scores.calibration_error)}."
    )
    caption = "On the dashed line, predicted probabilities equal observed fractions."
    plot = Plot("calibration", caption, bins, score_figures.draw_calibration)
    return Section("calibration", "Calibration", [text, [plot]])


def _thresholds(
    validation: pd.DataFrame | None, predictions: pd.DataFrame, positive: str | None
) -> list[Section]:
    if validation is None or positive is None:
        return []
    count = int((final_rows(validation)["class"] == positive).sum())
    if count == 0:
        return []
    text = (
        f"The threshold is the probability from which an image is classified as {positive}. Each "
        f"is chosen on the {count} validation images of {positive} to reach a target recall, "
        "midway to the next lower probability, and evaluated on the test images. With "
        f"{count} images, recall changes in steps of {100 / count:.2g} %, so similar targets may "
        "have the same threshold."
    )
    frame = thresholds(validation, predictions, positive)
    table = Table("thresholds", f"Recall and false positives of {positive}.", frame)
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
