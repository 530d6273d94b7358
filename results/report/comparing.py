"""The page of `study compare --report`: studies side by side, and what may be said of them."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from results.figures import log_losses, new_figure, plain_axes
from results.folder import StudyFolder
from results.paired import paired_table
from results.report.blocks import Block, Drawing, Drawings, Paragraph, Section, Table
from results.report.drawings import PANEL
from results.report.record_sections import toml_value
from results.report.score_drawings import COLOURS
from results.tables import comparison, differences
from results.trials import objective_direction, rank

_TESTED = ("test_images", "test_accuracy", "test_accuracy_low", "test_accuracy_high", "test_loss")
# What a study is ranked by, and whether more of it is better.
_RANKED = {"score": False, "test_accuracy": True, "test_loss": False, "seconds": False}
_MEASURES = {"val_loss": "validation loss (nats)", "val_accuracy": "validation accuracy"}


def comparison_sections(studies: Sequence[StudyFolder]) -> list[Section]:
    """The sections in their order; those that the studies have nothing for are left out."""
    frame = comparison(studies)
    return [
        _answer(studies, frame),
        *_paired(studies),
        _ranks(frame),
        *_curves(studies),
        *_costs(studies),
        *_options(studies),
    ]


def changed_options(studies: Sequence[StudyFolder]) -> pd.DataFrame:
    """Options in which studies differ: a row each, a column per study; the space by dimension."""
    given = {study.name: _flat(study.manifest()["options"]) for study in studies}
    names = dict.fromkeys(name for options in given.values() for name in options)
    rows = [
        {"option": name, **{study: options.get(name, "") for study, options in given.items()}}
        for name in names
    ]
    return pd.DataFrame(
        [row for row in rows if len(set(list(row.values())[1:])) > 1],
        columns=["option", *given],
    )


def progress(studies: Sequence[StudyFolder]) -> pd.DataFrame:
    """The best score so far over a search's time, on each study's highest rung.

    Columns: study, trials (done so far), seconds (their sum), best.
    """
    rows = []
    for study in studies:
        records = study.trials()
        objective = str(study.manifest()["options"].get("objective", "val_loss"))
        scored = {record.trial for record in rank(records, objective=objective)}
        top = max((r.epochs for r in records if r.trial in scored), default=0)
        choose = min if objective_direction(objective) == "min" else max
        best, seconds = None, 0.0
        for number, record in enumerate(records, start=1):
            seconds += record.seconds
            if record.trial in scored and record.epochs == top and record.score is not None:
                best = record.score if best is None else choose(best, record.score)
                rows.append((study.name, number, seconds, best))
    return pd.DataFrame(rows, columns=["study", "trials", "seconds", "best"])


def cost_to_reach(reached: pd.DataFrame, *, lowest_is_best: bool) -> pd.DataFrame:
    """What each study spent until it had the worst of all studies' best scores.

    Args:
        reached: As `progress` gives it.
        lowest_is_best: Whether the objective is a loss.

    Returns:
        study, target, trials, seconds.
    """
    last = reached.drop_duplicates("study", keep="last")["best"]
    target = last.max() if lowest_is_best else last.min()
    there = reached["best"] <= target if lowest_is_best else reached["best"] >= target
    first: pd.DataFrame = reached.loc[there].drop_duplicates("study", keep="first")
    return first.assign(target=target)[["study", "target", "trials", "seconds"]]


def ranks(frame: pd.DataFrame) -> pd.DataFrame:
    """Places, 1 the best, ties sharing the better one: study, and by_<measure> for each there is.

    Args:
        frame: As `results.tables.comparison` gives it.
    """
    lowest = frame["objective"].iloc[0] == "val_loss"
    better = _RANKED | {"score": not lowest}
    columns = {
        f"by_{name}": frame[name].rank(ascending=not more, method="min").astype("Int64")
        for name, more in better.items()
        if frame[name].notna().any()
    }
    return pd.DataFrame({"study": frame["study"], **columns})


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
        best = tested.sort_values("test_accuracy", ascending=False).to_dict("records")[0]
        said = (
            f"The highest test accuracy is {best['study']}'s, {100 * best['test_accuracy']:.2f} % "
            f"of {best['test_images']} images (95 % interval {100 * best['test_accuracy_low']:.2f} "
            f"to {100 * best['test_accuracy_high']:.2f} %)."
        )
    blocks: list[Block] = [Paragraph(said)]
    if reasons := differences(studies):
        blocks.append(Paragraph("Not everything here compares. " + " ".join(reasons)))
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
        "test. A large p says that these images cannot tell the two apart, not that they are alike."
    )
    table = Table("paired", "Each two studies.", pairs)
    return [Section("paired", "Paired tests", [Paragraph(text), table])]


def _ranks(frame: pd.DataFrame) -> Section:
    text = "Places by each measure, 1 the best; a place says nothing of how far apart they are."
    return Section("ranks", "Ranks", [Paragraph(text), Table("ranks", "Places.", ranks(frame))])


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
    objectives = {str(s.manifest()["options"].get("objective", "val_loss")) for s in studies}
    reached = progress(studies)
    if len(objectives) > 1 or reached.empty:
        return []  # scores of different objectives share no axis
    (objective,) = objectives
    low = objective_direction(objective) == "min"
    drawing = Drawing(
        "progress",
        "The best score so far on each study's highest rung, against the time of all its trials.",
        reached,
        partial(draw_progress, objective=objective),
    )
    caption = "What it took to reach the worst of the studies' best scores; features not counted."
    table = Table("cost", caption, cost_to_reach(reached, lowest_is_best=low))
    return [Section("cost", "Cost to reach a score", [Drawings([drawing]), table])]


def _options(studies: Sequence[StudyFolder]) -> list[Section]:
    changed = changed_options(studies)
    if changed.empty:
        return []
    table = Table("options", "As study.json has them; all others are the same.", changed)
    return [Section("options", "Options that differ", [table])]


def _flat(options: dict[str, Any]) -> dict[str, str]:
    flat = {name: json.dumps(value) for name, value in options.items() if name != "space"}
    space = options.get("space") or {}
    return flat | {f"space, {name}": toml_value(dimension) for name, dimension in space.items()}
