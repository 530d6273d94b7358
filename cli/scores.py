"""Test scores as `study best` and `study evaluate` print them."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer


def print_scores(test: Mapping[str, Any]) -> None:
    """Prints the metrics of each checkpoint, the interval, the report and the confusion matrix.

    Args:
        test: From `results.evaluation.evaluate`.
    """
    from concrete_study.results.evaluation import CHECKPOINT_NAMES, readable_report

    low, high = test["accuracy_interval"]
    typer.echo(f"{'test images':<18}{'loss':>10}{'accuracy':>10}")
    for checkpoint, scores in test["checkpoints"].items():
        typer.echo(
            f"{CHECKPOINT_NAMES[checkpoint]:<18}{scores['loss']:>10.4f}{scores['accuracy']:>10.4f}"
        )
    typer.echo(f"\nTest accuracy {test['accuracy']:.4f} ", nl=False)
    typer.echo(f"({test['interval']} interval {low:.4f} to {high:.4f}, {test['images']} images)\n")
    typer.echo(readable_report(test))


def print_sources(by_dataset: Sequence[Mapping[str, Any]]) -> None:
    """Prints one line for each folder that was tested, if there are several.

    Args:
        by_dataset: From `best/metrics.json`.
    """
    if not by_dataset:
        return
    width = max(len("source"), *(len(source["source"]) for source in by_dataset))
    typer.echo(f"{'source':<{width}}  {'subset':<8}  {'images':>6}  accuracy  95 % interval")
    for test in by_dataset:
        low, high = test["accuracy_interval"]
        typer.echo(
            f"{test['source']:<{width}}  {test['subset']:<8}  {test['images']:>6}  "
            f"{test['accuracy']:>8.4f}  {low:.4f} to {high:.4f}"
        )
    typer.echo("")
