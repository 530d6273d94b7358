"""The page of `study compare --report`: studies side by side, and what limits the comparison."""

from collections.abc import Sequence
from functools import partial

import pandas as pd

from concrete_study.results.folder import StudyFolder
from concrete_study.results.learning_curves import MEASURES, curves_table, draw_studies
from concrete_study.results.objectives import find_objective
from concrete_study.results.paired import paired_table
from concrete_study.results.ranking import changed_options, cost_to_reach, progress, ranks
from concrete_study.results.report.elements import Element, Plot, Section, Table
from concrete_study.results.report.search_figures import draw_progress
from concrete_study.results.tables import comparison, differences


def comparison_sections(studies: Sequence[StudyFolder]) -> list[Section]:
    """The sections in their order; those for which the studies have no data are left out."""
    ranking = Table("ranks", "Ranks of the studies.", ranks(studies))
    text = "Rank 1 is the best, by each measure in which the studies are comparable."
    paired = (
        "Pairs of models tested on exactly the same images: the number of images that only one of "
        "them classifies correctly, the difference of the accuracies with its 95 % cluster "
        "bootstrap interval, and McNemar's exact test, both clustered by group. A large p means "
        "that no significant difference was found, not that the models are equal."
    )
    pairs = Table("paired", "Paired tests of all studies.", paired_table(studies))
    caption = "Values as in `study.json`; all other options are equal."
    changed = Table("options", caption, changed_options(studies))
    return [
        _summary(studies, comparison(studies)),
        *([Section("paired", "Paired tests", [paired, pairs])] if len(pairs.frame) else []),
        Section("ranks", "Ranks", [text, ranking]),
        *_curves(studies),
        *_costs(studies),
        *([Section("options", "Options that differ", [changed])] if len(changed.frame) else []),
    ]


def _summary(studies: Sequence[StudyFolder], frame: pd.DataFrame) -> Section:
    elements: list[Element] = [_best(frame)]
    if reasons := differences(studies):
        sentences = " ".join(difference.sentence for difference in reasons)
        elements.append(f"Not all of these results are comparable. {sentences}")
    test = [name for name in frame.columns if name.startswith(("test_", "on_"))]
    search = frame.drop(columns=test)
    caption = (
        "Test results, with 95 % intervals: of accuracy Wilson, of others bootstrap over groups."
    )
    elements += [
        Table("tests", caption, frame[["study", *test]], transposed=True),
        Table("searches", "Searches and the trial that is retrained.", search),
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


def _curves(studies: Sequence[StudyFolder]) -> list[Section]:
    trained = {study.name: study.metrics() for study in studies}
    table = curves_table("study", {name: found for name, found in trained.items() if found})
    plots = [
        Plot(
            f"validation-{measure}",
            f"Validation {measure} of the retraining of each study.",
            table,
            partial(draw_studies, measure=measure),
        )
        for measure in MEASURES
    ]
    return [Section("curves", "Retraining", [plots])] if len(table) else []


def _costs(studies: Sequence[StudyFolder]) -> list[Section]:
    cost = cost_to_reach(studies)
    if cost.empty:
        return []
    objective = find_objective(studies[0].manifest().options.objective)
    text = (
        f"Best {objective.label} so far on the highest rung of each study, by time of its trials."
    )
    draw = partial(draw_progress, objective=objective)
    caption = (
        "Trials and time until a study reached the target, the worst of the studies' best scores; "
        "without the time for frozen features."
    )
    plot, table = Plot("progress", text, progress(studies), draw), Table("cost", caption, cost)
    return [Section("cost", "Cost to reach a score", [[plot], table])]
