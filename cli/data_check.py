"""`study data check`: what is in a folder, and what is wrong with it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from concrete_study.cli.tables import Format, FormatOption, print_frame


def check_command(
    folder: Annotated[Path, typer.Argument(help="One sub-folder per class.")],
    to: Annotated[Path, typer.Option(help="Folder for the page and check.json.")] = Path(
        "data-check"
    ),
    format: FormatOption = Format.TABLE,
) -> None:
    """Count, measure and compare images; write a page with those worth a look.

    Ends with code 1 if a file cannot be read or a picture has two classes.

    Example: study data check photographs --to photographs-checked
    """
    from concrete_study.cli.display import Display
    from concrete_study.cli.errors import ExitCode
    from concrete_study.datasets.audit import audit_folder
    from concrete_study.datasets.files import write_json, write_text
    from concrete_study.datasets.folders import locate
    from concrete_study.datasets.reading import find_near_duplicates, read_folders
    from concrete_study.results.audit import audit_json, audit_page, audit_table
    from concrete_study.results.state import ensure_writable

    ensure_writable(to, ("check.json", "index.html"))
    with Display() as display:
        found = read_folders({"": folder}, display)
        pairs = find_near_duplicates(found, display)
        with display.counting("measuring", len(found.images)) as done:
            audit = audit_folder(found, pairs, on_image=lambda: done(1))
    content = audit_json(audit)
    write_json(to / "check.json", content)
    page = audit_page(audit, folder.resolve().name, lambda file: locate(found.roots, file))
    write_text(to / "index.html", page)
    if format is Format.JSON:
        print(json.dumps(content, indent=2))
    else:
        print_frame(audit_table(audit), format, f"Images of {folder}")
    typer.echo(f"The page with pictures: {to / 'index.html'}", err=True)
    if audit.faults or audit.conflicts:
        raise typer.Exit(ExitCode.FAULTS)
