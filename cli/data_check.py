"""`study data check`: counts, faults, near-duplicates and outliers of a folder."""

from pathlib import Path
from typing import Annotated

import typer

from concrete_study.cli.arguments import LabelsOption, MapOption
from concrete_study.cli.output import echo
from concrete_study.cli.tables import Format, FormatOption, print_frame


def check_command(
    folder: Annotated[
        Path, typer.Argument(help="Folder with one sub-folder per class, or a zip file.")
    ],
    class_map: MapOption = None,
    labels: LabelsOption = None,
    page: Annotated[
        Path | None, typer.Option(help="Also write index.html and check.json into this folder.")
    ] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Find faults, near-duplicates and outliers in a folder.

    Ends with exit code 1 if a file cannot be read, an image file is excluded, or near-duplicates
    have different labels.

    Example: study data check photographs --page photographs-check
    """
    from concrete_study.cli.errors import ExitCode
    from concrete_study.datasets.audit import audit_folder
    from concrete_study.datasets.files import replacing_folder, write_text
    from concrete_study.datasets.folders import locate
    from concrete_study.datasets.labels import parse_class_map
    from concrete_study.datasets.printing import in_json
    from concrete_study.datasets.reading import find_near_duplicates, read_folders
    from concrete_study.results.audit import data_check, data_check_page, data_check_table
    from concrete_study.results.stored import ensure_writable, record_text, write_record
    from concrete_study.study.display import Display

    if page is not None:
        ensure_writable(page, ("check.json", "index.html"))
    with Display() as display:
        found = read_folders(
            {"": folder},
            display,
            class_map=parse_class_map(class_map or ()),
            labels={"": labels} if labels else {},
        )
        pairs = find_near_duplicates(found, display)
        with display.counting("measuring images", len(found.images)) as done:
            audit = audit_folder(found, pairs, on_image=lambda: done(1))
    check = data_check(audit)
    if page is not None:
        name = folder.resolve().name
        html = data_check_page(check, name, lambda file: locate(found.roots, file))
        with replacing_folder(page) as new:
            write_record(new / "check.json", check)
            write_text(new / "index.html", html)
        echo(f"Page: {page / 'index.html'}", err=True)
    if format is Format.JSON:
        print(in_json(record_text(check)), end="")
    else:
        print_frame(data_check_table(check), format, f"Images of {folder}")
    for line in check.warnings:
        echo(line, err=True)
    if audit.faults or audit.conflicts or check.summary.left_out:
        raise typer.Exit(ExitCode.FAULTS)
