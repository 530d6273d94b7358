"""The figures of the pages "How it works", from the project's own functions.

python docs/figures.py
"""

import hashlib
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from concrete_study.datasets.folders import LabelledImage
from concrete_study.datasets.groups import group_images
from concrete_study.datasets.splits import DEFAULT_SHARES, split_images
from concrete_study.results.figures import QUIET, TRAIN, VALIDATION, new_panel, save_figure
from concrete_study.results.records import SearchOptions
from concrete_study.results.report.writing import SVG_STYLE
from concrete_study.results.statistics import Interval, wilson_interval
from concrete_study.search.schedule import hyperband_schedule

FOLDER = Path(__file__).parent / "images"
SIZE = (6.4, 3.6)  # inches
IMAGES = 400  # of the plan in frozen-features.svg, and of each split in splits.svg
TEST_SIZES = (20, 40, 60, 100, 200, 400, 600, 1000, 2000, 6000)


class ForwardPasses(NamedTuple):
    """Forward passes through VGG16 (images), in total after each trial of a default search."""

    without: list[int]  # every epoch of every trial takes every image through the network
    stored: int  # all of them before the first trial


def collect_forward_passes(images: int = IMAGES) -> ForwardPasses:
    """Forward passes of the default schedule, the validation images without shifts."""
    train, validation, _ = (round(share * images) for share in DEFAULT_SHARES)
    rounds = hyperband_schedule(SearchOptions().max_epochs)
    epochs = accumulate(one.epochs for one in rounds for _ in range(one.trials))
    stored = SearchOptions().views * train + validation
    return ForwardPasses([total * (train + validation) for total in epochs], stored)


def draw_forward_passes(passes: ForwardPasses) -> Figure:
    """Total forward passes by trial."""
    title = f"Forward passes through VGG16, {IMAGES} images"
    figure, axes = new_panel(title, SIZE)
    trials = [0, *range(1, 1 + len(passes.without))]
    without = [0, *passes.without]
    axes.plot(trials, without, color=VALIDATION, label=f"without stored features: {without[-1]:,}")
    stored = [passes.stored] * len(trials)
    axes.plot(trials, stored, color=TRAIN, label=f"with stored features: {passes.stored:,}")
    axes.set(xlabel="completed trials", ylim=(0, None))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.legend(frameon=False)
    return figure


def draw_hyperband() -> Figure:
    """Trials of each round of the default search, one row of bars per bracket."""
    rounds = hyperband_schedule(SearchOptions().max_epochs)
    figure, axes = new_panel("Trials by bracket and rung (epochs)", SIZE)
    brackets = sorted({one.bracket for one in rounds}, reverse=True)
    labels = [
        f"bracket {brackets.index(one.bracket) + 1}: {one.epochs:>2} epochs" for one in rounds
    ]
    first = [one.round == 0 for one in rounds]
    colours = [TRAIN if new else QUIET for new in first]
    bars = axes.barh(labels, [one.trials for one in rounds], color=colours)
    axes.bar_label(
        bars,
        [
            f"{one.trials} {'new' if new else 'promoted'}"
            for one, new in zip(rounds, first, strict=True)
        ],
        padding=4,
    )
    axes.invert_yaxis()
    axes.grid(visible=False, axis="both")
    axes.set(xlabel="trials", xlim=(0, 1.2 * max(one.trials for one in rounds)))
    return figure


class Leakage(NamedTuple):
    """Test images with a near-duplicate in the training subset, as a share of the test images."""

    paired: list[float]  # share of all images that are one of a pair of near-duplicates
    random: list[float]
    grouped: list[float]


def collect_leakage(images: int = IMAGES, seeds: int = 5) -> Leakage:
    """Splits made-up images of two classes with and without their groups; means over seeds."""
    shares = [tenth / 10 for tenth in range(11)]
    digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(images)]
    # Classes alternate in twos, so both images of a pair have one class.
    made_up = [
        LabelledImage(f"{number:03}.jpg", "AB"[number // 2 % 2], digest)
        for number, digest in enumerate(digests)
    ]

    def leaked(count: int, *, grouped: bool) -> float:
        pairs = list(zip(digests[:count:2], digests[1:count:2], strict=True))
        groups = group_images(made_up, pairs)
        total = 0.0
        for seed in range(1, 1 + seeds):
            rows = split_images(made_up, seed=seed, groups=groups if grouped else None)
            train = {groups[row.sha256] for row in rows if row.subset == "train"}
            test = [groups[row.sha256] in train for row in rows if row.subset == "test"]
            total += sum(test) / len(test)
        return total / seeds

    counts = [2 * round(share * images / 2) for share in shares]
    return Leakage(
        shares,
        random=[leaked(count, grouped=False) for count in counts],
        grouped=[leaked(count, grouped=True) for count in counts],
    )


def draw_leakage(leakage: Leakage) -> Figure:
    """Leaked test images by the share of near-duplicates."""
    figure, axes = new_panel("Test images with a near-duplicate in the training subset", SIZE)
    axes.plot(leakage.paired, leakage.random, color=VALIDATION, marker="o", label="random split")
    axes.plot(leakage.paired, leakage.grouped, color=TRAIN, marker="o", label="grouped split")
    axes.set(xlabel="images that are one of a pair of near-duplicates")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(frameon=False)
    return figure


def collect_intervals() -> dict[int, tuple[Interval, Interval]]:
    """Wilson intervals at an accuracy of 1 and of 0.95, by number of test images."""
    return {
        total: (wilson_interval(total, total), wilson_interval(round(0.95 * total), total))
        for total in TEST_SIZES
    }


def draw_intervals(intervals: dict[int, tuple[Interval, Interval]]) -> Figure:
    """95 % intervals of two accuracies by number of test images, on a logarithmic axis."""
    figure, axes = new_panel("Wilson 95 % intervals of an accuracy", SIZE)
    totals = list(intervals)
    for index, (accuracy, colour) in enumerate(((1.0, TRAIN), (0.95, VALIDATION))):
        chosen = [pair[index] for pair in intervals.values()]
        low, high = [one.low for one in chosen], [one.high for one in chosen]
        axes.fill_between(totals, low, high, color=colour, alpha=0.25, linewidth=0)
        axes.plot(totals, [accuracy] * len(totals), color=colour, label=f"accuracy {accuracy:g}")
    axes.set_xscale("log")
    axes.set(xlabel="test images", ylabel="accuracy")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend(frameon=False, loc="lower right")
    return figure


def write_figures(folder: Path = FOLDER) -> None:
    """Writes every figure as SVG."""
    with mpl.rc_context(SVG_STYLE):
        save_figure(draw_forward_passes(collect_forward_passes()), folder / "frozen-features.svg")
        save_figure(draw_hyperband(), folder / "hyperband.svg")
        save_figure(draw_leakage(collect_leakage()), folder / "splits.svg")
        save_figure(draw_intervals(collect_intervals()), folder / "statistics.svg")


if __name__ == "__main__":
    write_figures()
