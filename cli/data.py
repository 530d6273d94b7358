"""`study data`: the images themselves, before any search."""

import typer


def build_data_app() -> typer.Typer:
    """The commands below `study data`, in the order of the help; nothing heavy is imported."""
    from concrete_study.cli.data_check import check_command
    from concrete_study.cli.data_fetch import fetch_command
    from concrete_study.cli.data_leakage import leakage_command
    from concrete_study.cli.data_sample import sample_command

    app = typer.Typer(help="Check, fetch and draw images.", rich_markup_mode=None)
    app.command("check")(check_command)
    app.command("leakage")(leakage_command)
    app.command("fetch")(fetch_command)
    app.command("sample")(sample_command)
    return app
