"""Test scores as `study best` and `study evaluate` print them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from concrete_study.cli.output import echo

if TYPE_CHECKING:
    from concrete_study.results.evaluation_records import DatasetReport, TestReport


def print_scores(test: "TestReport", images: str = "test") -> None:
    """Prints metrics per checkpoint, scores with intervals, and metrics per class.

    Args:
        test: From `results.evaluation.evaluate`.
        images: What the images are.
    """
    from concrete_study.results.evaluation import CHECKPOINT_NAMES
    from concrete_study.results.formats import number
    from concrete_study.results.headlines import balance_text, score_lines
    from concrete_study.results.report.scores import readable_report

    low, high = test.accuracy_interval
    echo(f"{f'{images} images':<18}{'loss':>10}{'accuracy':>10}{'calibration error':>19}")
    for checkpoint, scores in test.checkpoints.items():
        echo(
            f"{CHECKPOINT_NAMES[checkpoint]:<18}{number(scores.loss):>10}"
            f"{number(scores.accuracy):>10}{number(scores.calibration_error):>19}"
        )
    echo(f"\n{images.capitalize()} accuracy {test.accuracy:.4f} ", nl=False)
    echo(f"({test.interval} interval {low:.4f} to {high:.4f}, {test.images} images)")
    balance = balance_text(test)
    echo(f"{balance[0].upper()}{balance[1:]}\n")
    echo("\n".join(score_lines(test)) + "\n")
    echo(readable_report(test))


def print_datasets(by_dataset: "Sequence[DatasetReport]") -> None:
    """Prints one line per dataset, if there are several, and a diagnosis of external ones.

    Args:
        by_dataset: From `best/metrics.json`.
    """
    if not by_dataset:
        return
    width = max(len("dataset"), *(len(report.dataset) for report in by_dataset))
    echo(f"{'dataset':<{width}}  {'subset':<8}  {'images':>6}  accuracy  95 % interval")
    for report in by_dataset:
        low, high = report.test.accuracy_interval
        echo(
            f"{report.dataset:<{width}}  {report.subset:<8}  {report.test.images:>6}  "
            f"{report.test.accuracy:>8.4f}  {low:.4f} to {high:.4f}"
        )
    echo("")
    for report in by_dataset:
        if report.subset == "external":
            print_diagnosis(report.test, f"{report.dataset}: ")


def print_diagnosis(test: "TestReport", name: str = "") -> None:
    """Prints whether ranking or threshold failed, after a name, if there are two classes."""
    from textwrap import fill

    from concrete_study.results.diagnosis import diagnosis_text

    if text := diagnosis_text(test):
        echo(fill(f"{name}{text}", 80) + "\n")
