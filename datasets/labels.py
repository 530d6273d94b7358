"""Given labels: a map from folders to classes, and CSV lists of files with a class or a group."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from concrete_study.datasets.errors import DataError, UsageError
from concrete_study.datasets.printing import from_csv_cell
from concrete_study.datasets.tree import IgnoredFiles


def parse_class_map(pairs: Sequence[str]) -> dict[str, str]:
    """Reads `FOLDER=CLASS` pairs, each item one or several with commas between them.

    Raises:
        UsageError: If an item is no pair, or a folder is mapped twice.
    """
    items = [item.strip() for pair in pairs for item in pair.split(",")]
    found = [item.rpartition("=") for item in items if item]
    mapping = {folder.strip(): label.strip() for folder, _, label in found}
    if len(mapping) < len(found) or not all(folder and label for folder, label in mapping.items()):
        raise UsageError(
            f"{' '.join(pairs)} is not a mapping.",
            "Expected FOLDER=CLASS, each folder once.",
            "Cracked=Positive or CW=Cracked,UW=Uncracked.",
            parameter="class_map",
        )
    return mapping


def require_known_names(
    class_map: Mapping[str, str], files: Iterable[str], lists: Iterable[Path]
) -> None:
    """Checks that every name in a class map is a folder with images or a class of a list.

    Args:
        class_map: Classes by name.
        files: Images with the classes of their folders.
        lists: CSV files of labels.

    Raises:
        UsageError: If one is neither.
    """
    if not class_map:
        return
    found = {folder for file in files for folder in PurePosixPath(file).parts[:-1]}
    found |= {label for path in lists for label in _read_labels(path).values()}
    if unknown := [folder for folder in class_map if folder not in found]:
        raise UsageError(
            f"{unknown[0]}={class_map[unknown[0]]} is not valid.",
            "Expected the name of a folder with images, or a class in the list of labels; the data "
            f"has {', '.join(sorted(found)[:20]) or 'none'}.",
            parameter="class_map",
        )


def label_by_list(
    root: Path,
    files: Sequence[str],
    path: Path,
    ignored: IgnoredFiles,
    class_map: Mapping[str, str],
) -> list[tuple[str, str]]:
    """Labels images by a CSV file with the columns `file` and `class`.

    Args:
        root: The data folder.
        files: Its images, relative to it.
        path: The CSV file. It has paths relative to the folder, or unique file names.
        ignored: Receives the images that it does not name.
        class_map: Classes by those of the CSV file; others keep their names.

    Returns:
        File and class, in the order of `files`.

    Raises:
        UsageError: If the CSV file cannot be read, lacks a column, or names a file twice.
        DataError: If a file that it names is missing.
    """
    labels = _read_labels(path)
    by_name = Counter(PurePosixPath(file).name for file in files)
    labelled, found = [], set()
    for file in files:
        name = PurePosixPath(file).name
        key = file if file in labels or by_name[name] > 1 else name
        if key in labels:
            labelled.append((file, class_map.get(labels[key], labels[key])))
            found.add(key)
        else:
            ignored.add("not in the list of labels", file, is_image=True)
    if missing := [file for file in labels if file not in found]:
        raise DataError(
            f"{path} names {len(missing)} of {len(labels)} files that are not in {root}.",
            f"Expected images, by paths relative to the data folder; missing: {missing[0]}.",
            "correct the list, or put the files into the folder.",
            parameter="labels",
        )
    return labelled


def _read_labels(path: Path) -> dict[str, str]:
    return read_list(path, "class", parameter="labels", hint="a file with one line per image.")


def read_list(path: Path, column: str, *, parameter: str, hint: str) -> dict[str, str]:
    """Reads a CSV file with the columns `file` and `column`.

    Args:
        path: The CSV file; paths in it may have backslashes.
        column: Name of the second column.
        parameter: The argument that named the file, for the error.
        hint: What else to give, for the error.

    Returns:
        The second column by file.

    Raises:
        UsageError: If the CSV file cannot be read, lacks a column or a value, or names a file
            twice with different values.
    """
    values: dict[str, str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.DictReader(file)
            columns = lines.fieldnames or []
            if not {"file", column} <= set(columns):
                raise ValueError(f"the columns {', '.join(columns) or '(none)'}")
            for row in lines:
                name = str(
                    PurePosixPath(from_csv_cell((row["file"] or "").strip()).replace("\\", "/"))
                )
                value = from_csv_cell((row[column] or "").strip())
                if not value:
                    raise ValueError(f"no {column} for {name}")
                if (before := values.setdefault(name, value)) != value:
                    raise ValueError(f"{before} and {value} for {name}")
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(
            f"{path} cannot be used.",
            f"Expected a CSV file with the columns file and {column}; received: {error}.",
            hint,
            parameter=parameter,
        ) from error
    return values
