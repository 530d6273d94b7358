"""`study audit`: labels that are probably wrong, and shortcuts to the class."""

from pathlib import Path
from typing import Annotated

import typer

from concrete_study.cli.arguments import StudyArgument
from concrete_study.cli.output import echo
from concrete_study.cli.tables import Format, FormatOption, print_frame

_MOST = 10


def audit_command(
    name: StudyArgument = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="New folder of the images if they have moved; repeatable, in the same order.",
        ),
    ] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Find labels that are probably wrong, and shortcuts.

    Reads the training and validation images of a study whose search has begun; the test split
    stays locked. Ranks the labels that out-of-fold predictions contradict, and measures how well
    brightness, contrast, sharpness, saturation, file size, JPEG quality and image size alone
    predict the class. Writes a page and tables to runs/NAME/audit/.

    Example: study audit first
    """
    from concrete_study.results.formats import counted
    from concrete_study.results.label_issues import issues_table
    from concrete_study.results.runs import RUNS, open_study
    from concrete_study.results.shortcuts import describe_shortcuts
    from concrete_study.results.study_audit import describe_issues
    from concrete_study.study.study import Study

    study = open_study(RUNS, name)
    audit = Study(study).audit(data=data or (), progress=True)
    table = issues_table(audit.issues)
    if format is not Format.TABLE:
        print_frame(table, format, "")
    elif audit.issues:
        columns = ["rank", "file", "label", "suggested_label", "p_suggested", "label_quality"]
        title = f"Labels of study {study.name} that are probably wrong"
        print_frame(table.head(_MOST), format, title, columns=columns)
    for line in (
        describe_issues(audit),
        f"{counted(len(audit.conflicts), 'group')} of near-duplicates with different labels.",
        describe_shortcuts(audit.shortcuts),
        f"Page: {study.audit_path / 'audit.html'}",
    ):
        echo(line, err=format is not Format.TABLE)
