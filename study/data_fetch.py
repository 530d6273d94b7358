"""`study data fetch`: images from where their authors publish them."""

import typer


def fetch_command() -> None:
    """Fetch METU's 40,000 photographs of concrete.

    Example: study data fetch metu
    """
    raise typer.Exit
