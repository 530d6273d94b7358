"""Test scores as `study best` and `study evaluate` print them."""

from collections.abc import Mapping
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
