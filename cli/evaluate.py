"""`study evaluate`: the retrained model on an external test set."""

from pathlib import Path
from typing import Annotated

import typer

from concrete_study.cli.arguments import (
    ClusterOption,
    LabelsOption,
    MapOption,
    ModelArgument,
    PositiveOption,
    WorkersOption,
)
from concrete_study.cli.output import echo


def evaluate_command(
    data: Annotated[
        Path,
        typer.Option(
            help="External test set: a folder with one sub-folder per class, or a zip file."
        ),
    ],
    name: ModelArgument = None,
    mapping: MapOption = None,
    labels: LabelsOption = None,
    study_data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="New folder of the study's own images if they have moved; repeatable.",
        ),
    ] = None,
    positive_class: PositiveOption = None,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
) -> None:
    """Evaluate the retrained model on an external test set.

    Images of the study and their near-duplicates are excluded.

    Example: study evaluate first --data bridges --map Cracked=Positive,Uncracked=Negative
    """
    from concrete_study.cli.scores import print_diagnosis, print_scores
    from concrete_study.datasets.labels import parse_class_map
    from concrete_study.results.model_folder import open_model_folder
    from concrete_study.results.runs import RUNS
    from concrete_study.study.model import Model

    names = parse_class_map(mapping or ())
    model = open_model_folder(RUNS, name)
    metrics = Model(model).evaluate(
        data,
        class_map=names,
        labels=labels,
        positive_class=positive_class,
        study_data=study_data or (),
        workers=workers,
        cluster=cluster,
        progress=True,
    )
    echo(f"Study {model.name} on {data}\n")
    print_scores(metrics.test)
    print_diagnosis(metrics.test)
    echo(f"Results: {model.evaluations_path / metrics.folder}/")
    echo(f"Next: study report {model.study.name}, study predict IMAGES --study {model.name}")
