"""Several folders studied as one: every image keeps the name of the folder it came from."""

from collections.abc import Sequence
from pathlib import Path

from concrete_study.datasets.errors import DataError, UsageError
from concrete_study.datasets.folders import Fault, ImageFolder


def name_datasets(roots: Sequence[Path]) -> dict[str, Path]:
    """Short names for folders: their own, with the parent's before it where two are alike.

    Raises:
        UsageError: If a folder is named twice.
    """
    if len(set(roots)) < len(roots):
        twice = next(root for root in roots if list(roots).count(root) > 1)
        raise UsageError(f"{twice} is named twice.", "Expected each folder once.")
    names = [root.name for root in roots]
    return {
        root.name if names.count(root.name) == 1 else f"{root.parent.name}-{root.name}": root
        for root in roots
    }


def join_folders(folders: dict[str, ImageFolder]) -> ImageFolder:
    """One folder of many: each file's path begins with the name of its source.

    Args:
        folders: By source, as `read_folder` gives them; one alone is given back as it is.

    Raises:
        DataError: If they do not have the same classes.
    """
    (first, *others) = folders.values()
    if not others:
        return first
    for name, folder in folders.items():
        if folder.classes != first.classes:
            raise DataError(
                "the folders have different classes.",
                f"Expected {', '.join(first.classes)} in each; {name} has "
                f"{', '.join(folder.classes)}.",
                "rename the class folders, or test one folder by study evaluate --map.",
            )
    return ImageFolder(
        {name: folder.roots[""] for name, folder in folders.items()},
        first.classes,
        [
            image._replace(file=f"{name}/{image.file}")
            for name, folder in folders.items()
            for image in folder.images
        ],
        [
            Fault(f"{name}/{fault.file}", fault.reason)
            for name, folder in folders.items()
            for fault in folder.faults
        ],
    )
