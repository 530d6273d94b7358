"""`study adapt`: the retrained model for another site, by a few labelled images of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concrete_study.cli.arguments import (
    DEFAULT_FORMATS,
    FormatsOption,
    LabelsOption,
    MapOption,
    StudyArgument,
    split_formats,
)
from concrete_study.cli.output import echo

if TYPE_CHECKING:
    from concrete_study.results.adaptation_record import AdaptationRecord

# What each method changes, by its name in the record.
_CHANGES = {
    "slope and offset": "Slope and offset of the logits were fitted to the site.",
    "new head": "The head was replaced by one fitted to the site's and the study's images.",
    "class proportions": "The output layer was corrected for the proportions of classes.",
}


def adapt_command(
    data: Annotated[
        Path,
        typer.Option(
            help="Labelled images of the site, 20 to 100: a folder with one sub-folder per class, "
            "or a zip file."
        ),
    ],
    name: StudyArgument = None,
    site: Annotated[
        str | None, typer.Option(help="Name of the result.", show_default="the folder's name")
    ] = None,
    mapping: MapOption = None,
    labels: LabelsOption = None,
    split_by: Annotated[
        str | None,
        typer.Option(
            help="Groups that cross-validation keeps together: prefix (of file names), or a CSV "
            "file with the columns file and group."
        ),
    ] = None,
    export: Annotated[bool, typer.Option("--export", help="Write exported models too.")] = False,
    format: FormatsOption = DEFAULT_FORMATS,
    unlabelled: Annotated[
        bool,
        typer.Option(
            "--unlabelled", help="The images have no labels: adapt to the proportions of classes."
        ),
    ] = False,
) -> None:
    """Adapt the model to another site by labelled images.

    The result is a model of its own, which other commands take as NAME:SITE. Label images in the
    proportions of classes that occur at the site.

    Example: study adapt first --data bridge-labels
    """
    from concrete_study.datasets.labels import parse_class_map
    from concrete_study.results.runs import RUNS, open_study
    from concrete_study.study.study import Study

    names = parse_class_map(mapping or ())
    adapted = Study(open_study(RUNS, name)).adapt(
        data,
        export,
        site=site,
        class_map=names,
        labels=labels,
        split_by=split_by,
        formats=split_formats(format),
        unlabelled=unlabelled,
        progress=True,
    )
    if (record := adapted.folder.adaptation()) is not None:
        _print(record)


def _print(record: "AdaptationRecord") -> None:
    """Prints the methods, the site's scores by cross-validation, and those on the test split."""
    from concrete_study.cli.scores import print_scores
    from concrete_study.results.formats import counted, number

    given = record.fitted_to
    counts = ", ".join(f"{count} {label}" for label, count in given.by_class.items())
    of = f" ({counts}; {counted(given.groups, 'group')})" if counts else ""
    echo(f"Study {record.study}, adapted to {record.site} by {given.images} images{of}")
    echo(f"{_CHANGES[record.method]}\n")
    if record.site_test is not None:
        echo(f"{'cross-validation on the site':<32}{'log loss':>10}")
        for method, loss in record.losses.items():
            chosen = "  chosen" if method == record.method else ""
            echo(f"{method:<32}{number(loss):>10}{chosen}")
        echo("\nThe site's images, each predicted without having been fitted to:\n")
        print_scores(record.site_test, "site")
        if record.losses[record.method] >= record.losses["none"]:
            echo("Cross-validation shows no gain: the labels may be too few to help.\n")
    for name, share in record.class_shares.items():
        echo(f"Estimated share of {name}: {share:.3f}")
    before, after = record.test.checkpoints["unadapted"], record.test.checkpoints["adapted"]
    echo(
        f"The study's own {record.test.images} test images, before and after adaptation: log loss "
        f"{number(before.loss)} and {number(after.loss)}, accuracy {number(before.accuracy)} and "
        f"{number(after.accuracy)}."
    )
    name = f"{record.study}:{record.site}"
    echo(f"Results: runs/{record.study}/adapted/{record.site}/")
    echo(f"Next: study predict IMAGES --study {name}, study evaluate {name} --data PATH")
