def best_command() -> None:
    """x."""
