"""The page of `study compare --report`: studies side by side, and what may be said of them."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from concrete_study.results.figures import log_losses, new_figure, plain_axes
from concrete_study.results.folder import StudyFolder
from concrete_study.results.paired import paired_table
from concrete_study.results.ranking import (
    changed_options,
    cost_to_reach,
    objective_of,
    progress,
    ranks,
)
from concrete_study.results.report.elements import (
    Block,
    Drawing,
    Drawings,
    Paragraph,
    Section,
    Table,
)
from concrete_study.results.report.score_figures import COLOURS
from concrete_study.results.report.search_figures import PANEL
from concrete_study.results.tables import comparison, differences

_TESTED = ("test_images", "test_accuracy", "test_accuracy_low", "test_accuracy_high", "test_loss")
_MEASURES = {"val_loss": "validation loss (nats)", "val_accuracy": "validation accuracy"}


def comparison_sections(studies: Sequence[StudyFolder]) -> list[Section]:
    """The sections in their order; those that the studies have nothing for are left out."""
    frame = comparison(studies)
    return [
        _answer(studies, frame),
        *_paired(studies),
        _ranks(studies),
        *_curves(studies),
        *_costs(studies),
        *_options(studies),
    ]


def draw_overlaid(numbers: pd.DataFrame, *, measure: str) -> Figure:
    """One measure of every study's retraining, epoch by epoch.

    Args:
        numbers: study, epoch, phase, val_loss, val_accuracy.
        measure: val_loss or val_accuracy.
    """
    figure = new_figure(*PANEL)
    axes = figure.add_subplot()
    plain_axes(axes, _MEASURES[measure].capitalize())
    for place, (name, curve) in enumerate(numbers.groupby("study", sort=False)):
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(curve["epoch"], curve[measure], "o-", ms=4, color=colour, label=name)
        second = curve[curve["phase"] == 2]
        if len(second):  # where fine-tuning begins
            axes.axvline(second["epoch"].iloc[0] - 0.5, color=colour, lw=0.8, ls=":")
    axes.set_xlabel("epoch; dotted: fine-tuning begins")
    if measure == "val_loss":
        log_losses(axes)
    axes.legend(frameon=False)
    return figure


def draw_progress(reached: pd.DataFrame, *, objective: str) -> Figure:
    """The best score so far against the seconds spent on trials.

    Args:
        reached: As `progress` gives it.
        objective: Its name, for the axis.
    """
    figure = new_figure(*PANEL)
    axes = figure.add_subplot()
    plain_axes(axes, f"Best {objective} so far")
    for place, (name, steps) in enumerate(reached.groupby("study", sort=False)):
        colour = COLOURS[place % len(COLOURS)]
        axes.step(steps["seconds"], steps["best"], where="post", color=colour, label=name)
        axes.plot(steps["seconds"], steps["best"], "o", ms=4, color=colour)
    axes.set_xlabel("seconds of trials")
    if objective == "val_loss":
        log_losses(axes)
    axes.legend(frameon=False)
    return figure


def _answer(studies: Sequence[StudyFolder], frame: pd.DataFrame) -> Section:
    tested = frame[frame["test_accuracy"].notna()]
    if tested.empty:
        said = "None of the studies was tested yet: `study best NAME` does it, once."
    else:
        first = tested["test_accuracy"] == tested["test_accuracy"].max()
        best = tested[first].to_dict("records")[0]
        # On as many images, that is: the interval is of one number.
        names = tested.loc[first & (tested["test_images"] == best["test_images"]), "study"]
        low, high = 100 * best["test_accuracy_low"], 100 * best["test_accuracy_high"]
        said = (
            f"The highest test accuracy has {' and '.join(names)}: "
            f"{100 * best['test_accuracy']:.2f} % of {best['test_images']} images "
            f"(95 % interval {low:.2f} to {high:.2f} %)."
        )
    blocks: list[Block] = [Paragraph(said)]
    if reasons := differences(studies):
        blocks.append(
            Paragraph("Not everything here compares. " + " ".join(d.sentence for d in reasons))
        )
    names = [str(name) for name in frame.columns]
    others = [name for name in names if name.startswith("on_")]
    kept = [name for name in names if name not in (*_TESTED, "test_macro_f1", *others)]
    caption = "Scores and tests; 95 % Wilson intervals."
    results = frame[["study", "split", *_TESTED, "test_macro_f1", *others]]
    blocks += [
        Table("tests", caption, results),
        Table("searches", "Searches, and the trial that was or would be retrained.", frame[kept]),
    ]
    return Section("answer", "The answer", blocks)


def _paired(studies: Sequence[StudyFolder]) -> list[Section]:
    pairs = paired_table(studies)
    if pairs.empty:
        return []
    text = (
        "Models tested on exactly the same images: how many images one alone classifies rightly, "
        "the difference of the accuracies with its 95 % bootstrap interval, and McNemar's exact "
        "test, for both of which a group of copies is one piece of evidence. A large p says that "
        "these images cannot tell the two apart, not that they are alike."
    )
    table = Table("paired", "Each two studies.", pairs)
    return [Section("paired", "Paired tests", [Paragraph(text), table])]


def _ranks(studies: Sequence[StudyFolder]) -> Section:
    text = (
        "Places, 1 the best, by each measure in which the studies compare; a place says nothing of "
        "how far apart they are."
    )
    return Section("ranks", "Ranks", [Paragraph(text), Table("ranks", "Places.", ranks(studies))])


def _curves(studies: Sequence[StudyFolder]) -> list[Section]:
    columns = ["study", "epoch", "phase", *_MEASURES]
    parts = [
        pd.DataFrame(metrics["curve"]).assign(study=study.name)[columns]
        for study in studies
        if (metrics := study.metrics()) is not None
    ]
    if not parts:
        return []
    numbers = pd.concat(parts, ignore_index=True)
    panels = [
        Drawing(
            f"overlaid-{measure.replace('_', '-')}",
            f"{title.capitalize()} of each study's retraining.",
            numbers,
            partial(draw_overlaid, measure=measure),
        )
        for measure, title in _MEASURES.items()
    ]
    return [Section("curves", "Retraining curves", [Drawings(panels)])]


def _costs(studies: Sequence[StudyFolder]) -> list[Section]:
    cost = cost_to_reach(studies)
    if cost.empty:
        return []
    drawing = Drawing(
        "progress",
        "The best score so far on each study's highest rung, against the time of all its trials.",
        progress(studies),
        partial(draw_progress, objective=objective_of(studies[0])),
    )
    caption = "What it took to reach the worst of the studies' best scores; features not counted."
    return [
        Section(
            "cost", "Cost to reach a score", [Drawings([drawing]), Table("cost", caption, cost)]
        )
    ]


def _options(studies: Sequence[StudyFolder]) -> list[Section]:
    changed = changed_options(studies)
    if changed.empty:
        return []
    table = Table("options", "As study.json has them; all others are the same.", changed)
    return [Section("options", "Options that differ", [table])]
