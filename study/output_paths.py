"""Where overlays are written: files and folders that hold nothing yet."""

from pathlib import Path

from concrete_study.datasets.errors import UsageError


def ensure_new_png(path: Path | None) -> None:
    """Checks that a file can be written without replacing another one.

    Raises:
        UsageError: If it exists or is no PNG file.
    """
    if path is not None and (path.suffix.lower() != ".png" or path.exists()):
        raise UsageError(
            f"{path} {'exists' if path.exists() else 'is not a PNG file'}.",
            "Expected a new file that ends in .png.",
            "another name, or leave it out to write IMAGE-LAYER.png.",
            parameter="to",
        )


def ensure_empty(folder: Path) -> None:
    """Checks that a folder is new or empty.

    Raises:
        UsageError: If it is not.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} is not empty.",
            "Expected a new or empty folder.",
            "another folder.",
            parameter="explain",
        )
