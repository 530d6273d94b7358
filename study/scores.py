"""Test scores as `study best` and `study evaluate` print them."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer


def print_scores(test: Mapping[str, Any]) -> None:
    """Prints loss and accuracy of each stage, the interval, the report and the confusion matrix.

    Args:
        test: From `results.evaluation.evaluate`.
    """
    from results.evaluation import STAGE_NAMES, readable_report

    low, high = test["accuracy_interval"]
    typer.echo(f"{'test images':<18}{'loss':>10}{'accuracy':>10}")
    for stage, scores in test["stages"].items():
        typer.echo(f"{STAGE_NAMES[stage]:<18}{scores['loss']:>10.4f}{scores['accuracy']:>10.4f}")
    typer.echo(f"\nTest accuracy {test['accuracy']:.4f} ", nl=False)
    typer.echo(f"({test['interval']} interval {low:.4f} to {high:.4f}, {test['images']} images)\n")
    typer.echo(readable_report(test))


def print_sources(by_source: Sequence[Mapping[str, Any]]) -> None:
    """Prints one line for each folder that was tested, if there are several.

    Args:
        by_source: From `best/metrics.json`.
    """
    if not by_source:
        return
    width = max(len("source"), *(len(source["source"]) for source in by_source))
    typer.echo(f"{'source':<{width}}  {'subset':<8}  {'images':>6}  accuracy  95 % interval")
    for test in by_source:
        low, high = test["accuracy_interval"]
        typer.echo(
            f"{test['source']:<{width}}  {test['subset']:<8}  {test['images']:>6}  "
            f"{test['accuracy']:>8.4f}  {low:.4f} to {high:.4f}"
        )
    typer.echo("")
