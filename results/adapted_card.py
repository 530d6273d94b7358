"""The card of a model that is adapted to a site: how, from what, and what it is worth."""

import pandas as pd

from concrete_study.results.adaptation_record import AdaptationRecord
from concrete_study.results.formats import markdown_table, number
from concrete_study.results.headlines import estimate_text, interval_text
from concrete_study.results.metrics import SCORES
from concrete_study.results.templating import templates
from concrete_study.results.thresholds import RECALLS, threshold_for_recall


def adapted_card(record: AdaptationRecord, predictions: pd.DataFrame | None) -> str:
    """The card in Markdown.

    Args:
        record: Of the adaptation.
        predictions: Of the site's images by cross-validation; None without labels.
    """
    test = record.site_test
    return (
        templates()
        .get_template("adapted-card.md.jinja")
        .render(
            record=record,
            given=record.fitted_to,
            number=number,
            before=test and test.checkpoints["unadapted"],
            after=test and test.checkpoints["adapted"],
            intervals=test and interval_text(test),
            scores={
                label: estimate_text(getattr(test.scores, name)) for name, label in SCORES.items()
            }
            if test
            else {},
            thresholds=_thresholds(predictions, test.positive_class if test else None),
            test_before=record.test.checkpoints["unadapted"],
            test_after=record.test.checkpoints["adapted"],
        )
    )


def _thresholds(predictions: pd.DataFrame | None, positive: str | None) -> str:
    if predictions is None or positive is None:
        return ""
    found = [(r, threshold_for_recall(predictions, positive, r)) for r in RECALLS]
    rows = [
        [f"{r:.3f}", number(one.value), number(one.recall), number(one.false_positive_rate)]
        for r, one in found
    ]
    return markdown_table(["target recall", "threshold", "recall", "false positive rate"], rows)
