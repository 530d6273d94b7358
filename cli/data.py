"""`study data`: commands on folders of images."""

import typer


def build_data_app() -> typer.Typer:
    """The commands of `study data` in the order of the help; importing their modules is cheap."""
    from concrete_study.cli.data_check import check_command
    from concrete_study.cli.data_fetch import fetch_command
    from concrete_study.cli.data_sample import sample_command

    app = typer.Typer(help="Check, download and generate images.", rich_markup_mode=None)
    app.command("check")(check_command)
    app.command("fetch")(fetch_command)
    app.command("sample")(sample_command)
    return app
