"""The tables that compare several studies, by name. Light: the help imports it."""

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

    from concrete_study.results.folder import StudyFolder


class Comparison(StrEnum):
    """The tables, in their order."""

    COMPARISON = "comparison"
    PAIRED = "paired"
    RANKS = "ranks"
    COST = "cost"
    OPTIONS = "options"


def comparison_table(
    studies: "Sequence[StudyFolder]", table: Comparison, *, only_changed: bool = False
) -> "DataFrame":
    """One of the tables.

    Args:
        studies: At least one.
        table: Which one.
        only_changed: Whether the first table leaves out columns that are equal in all studies.
    """
    from concrete_study.results.paired import paired_table
    from concrete_study.results.ranking import changed_options, cost_to_reach, ranks
    from concrete_study.results.tables import comparison

    tables = {
        Comparison.COMPARISON: comparison,
        Comparison.PAIRED: paired_table,
        Comparison.RANKS: ranks,
        Comparison.COST: cost_to_reach,
        Comparison.OPTIONS: changed_options,
    }
    frame = tables[table](studies)
    if only_changed and table is Comparison.COMPARISON and len(frame) > 1:
        # The names of studies always differ.
        return frame.loc[:, frame.nunique(dropna=False) > 1]
    return frame
