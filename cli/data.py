"""`study data`: commands for image folders."""

import typer


def build_data_app() -> typer.Typer:
    """The commands below `study data`, in the order of the help; nothing heavy is imported."""
    from concrete_study.cli.data_check import check_command
    from concrete_study.cli.data_fetch import fetch_command
    from concrete_study.cli.data_sample import sample_command

    app = typer.Typer(help="Check, download and generate images.", rich_markup_mode=None)
    app.command("check")(check_command)
    app.command("fetch")(fetch_command)
    app.command("sample")(sample_command)
    return app
