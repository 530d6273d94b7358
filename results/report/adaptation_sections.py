"""The section on models that are adapted to other sites."""

from collections.abc import Sequence

import pandas as pd

from concrete_study.results.adaptation_record import AdaptationRecord
from concrete_study.results.report.data import ReportData
from concrete_study.results.report.elements import Section, Table


def adaptation_sections(data: ReportData) -> list[Section]:
    """Scores before and after each adaptation of the present model; none without any."""
    if not data.adaptations:
        return []
    text = (
        "Models for other sites, of which only the head differs (`study adapt`). Scores on "
        "a site are by cross-validation on its labelled images."
    )
    table = adaptations_table(data.adaptations)
    found = Table("adaptations", "Before and after adaptation; log loss in nats.", table)
    return [Section("adaptations", "Adapted models", [text, found])]


def adaptations_table(adaptations: Sequence[AdaptationRecord]) -> pd.DataFrame:
    """Log loss and accuracy before and after adaptation, on the site and on the test split.

    Columns: site, images, method; loss_before, loss_after, accuracy_before, accuracy_after (blank
    without labels); test_loss_before, test_loss_after.
    """
    rows = []
    for record in adaptations:
        row: dict[str, object] = {"site": record.site, "images": record.fitted_to.images}
        row["method"] = record.method
        if record.site_test is not None:
            before, after = (record.site_test.checkpoints[n] for n in ("unadapted", "adapted"))
            row |= {"loss_before": before.loss, "loss_after": after.loss}
            row |= {"accuracy_before": before.accuracy, "accuracy_after": after.accuracy}
        before, after = (record.test.checkpoints[n] for n in ("unadapted", "adapted"))
        rows.append(row | {"test_loss_before": before.loss, "test_loss_after": after.loss})
    return pd.DataFrame(rows)
