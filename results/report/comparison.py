"""The page of `study compare --report`: studies side by side, and what limits the comparison."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from concrete_study.results.folder import StudyFolder
from concrete_study.results.learning_curves import (
    MEASURES,
    Curve,
    Measure,
    curves_table,
    draw_studies,
    read_curves,
)
from concrete_study.results.paired import paired_table
from concrete_study.results.ranking import (
    changed_options,
    cost_to_reach,
    objective_of,
    progress,
    ranks,
)
from concrete_study.results.report.elements import Element, Plot, Plots, Section, Table
from concrete_study.results.report.search_figures import draw_progress
from concrete_study.results.tables import comparison, differences

_TEST = ("test_images", "test_accuracy", "test_accuracy_low", "test_accuracy_high", "test_loss")


def comparison_sections(studies: Sequence[StudyFolder]) -> list[Section]:
    """The sections in their order; those for which the studies have no data are left out."""
    return [
        _summary(studies, comparison(studies)),
        *_paired(studies),
        Section(
            "ranks",
            "Ranks",
            [
                "Rank 1 is the best, by each measure in which the studies are comparable.",
                Table("ranks", "Ranks of the studies.", ranks(studies)),
            ],
        ),
        *_curves(studies),
        *_costs(studies),
        *_options(studies),
    ]


def _summary(studies: Sequence[StudyFolder], frame: pd.DataFrame) -> Section:
    elements: list[Element] = [_best(frame)]
    if reasons := differences(studies):
        sentences = " ".join(difference.sentence for difference in reasons)
        elements.append(f"Not all of these results are comparable. {sentences}")
    names = [str(name) for name in frame.columns]
    external = [name for name in names if name.startswith("on_")]
    test = [*_TEST, "test_macro_f1", *external]
    search = [name for name in names if name not in test]
    elements += [
        Table("tests", "Test results, with 95 % Wilson intervals.", frame[["study", *test]]),
        Table("searches", "Searches and the trial that is retrained.", frame[search]),
    ]
    return Section("summary", "Summary", elements)


def _best(frame: pd.DataFrame) -> str:
    tested = frame[frame["test_accuracy"].notna()]
    if tested.empty:
        return "None of the studies has a test result yet: `study best NAME` evaluates one."
    first = tested["test_accuracy"] == tested["test_accuracy"].max()
    best = tested[first].to_dict("records")[0]
    # With as many images, that is: the interval is of one number.
    names = tested.loc[first & (tested["test_images"] == best["test_images"]), "study"]
    low, high = 100 * best["test_accuracy_low"], 100 * best["test_accuracy_high"]
    return (
        f"{' and '.join(names)} {'has' if len(names) == 1 else 'have'} the highest test accuracy: "
        f"{100 * best['test_accuracy']:.2f} % of {best['test_images']} images "
        f"(95 % interval {low:.2f} to {high:.2f} %)."
    )


def _paired(studies: Sequence[StudyFolder]) -> list[Section]:
    pairs = paired_table(studies)
    if pairs.empty:
        return []
    text = (
        "Pairs of models tested on exactly the same images: the number of images that only one of "
        "them classifies correctly, the difference of the accuracies with its 95 % cluster "
        "bootstrap interval, and McNemar's exact test, both clustered by group. A large p means "
        "that no significant difference was found, not that the models are equal."
    )
    table = Table("paired", "Paired tests of all studies.", pairs)
    return [Section("paired", "Paired tests", [text, table])]


def _curves(studies: Sequence[StudyFolder]) -> list[Section]:
    curves = [
        Curve(study.name, metrics.curve, metrics.best_epoch)
        for study in studies
        if (metrics := study.metrics()) is not None
    ]
    if not curves:
        return []
    table = curves_table(curves, "study")
    plots = [
        Plot(
            f"validation-{measure}",
            f"Validation {measure} of the retraining of each study.",
            table,
            partial(_draw, measure=measure),
        )
        for measure in MEASURES
    ]
    return [Section("curves", "Retraining", [Plots(plots)])]


def _draw(table: pd.DataFrame, *, measure: Measure) -> Figure:
    return draw_studies(read_curves(table), measure=measure)


def _costs(studies: Sequence[StudyFolder]) -> list[Section]:
    cost = cost_to_reach(studies)
    if cost.empty:
        return []
    objective = objective_of(studies[0])
    plot = Plot(
        "progress",
        f"Best {objective.label} so far on the highest rung of each study, by time of its trials.",
        progress(studies),
        partial(draw_progress, objective=objective),
    )
    caption = (
        "Trials and time until a study reached the target, the worst of the studies' best scores; "
        "without the time for frozen features."
    )
    table = Table("cost", caption, cost)
    return [Section("cost", "Cost to reach a score", [Plots([plot]), table])]


def _options(studies: Sequence[StudyFolder]) -> list[Section]:
    changed = changed_options(studies)
    if changed.empty:
        return []
    table = Table("options", "Values as in `study.json`; all other options are equal.", changed)
    return [Section("options", "Options that differ", [table])]
