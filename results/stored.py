"""Stored records: reading, validating and writing them; errors name the file and the key."""

import hashlib
import re
from collections.abc import Collection
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from concrete_study.datasets.errors import StudyStateError, UsageError
from concrete_study.datasets.files import file_sha256, write_text
from concrete_study.results.records import SCHEMA_VERSION, StoredRecord

R = TypeVar("R", bound=StoredRecord)
METRICS_FILE = "metrics.json"
FILES_FILE = "files.json"


class _Version(msgspec.Struct):
    schema_version: int


def read_record(path: Path, kind: type[R]) -> R:
    """Reads and validates the record in a file.

    Raises:
        StudyStateError: If the file is missing, damaged or of another schema version; the
            message names the file, the key, what was expected and what was received.
    """
    try:
        content = path.read_bytes()
        version = msgspec.json.decode(content, type=_Version).schema_version
        if version != SCHEMA_VERSION:
            raise damaged(path, f"schema_version {version}", f"schema_version {SCHEMA_VERSION}")
        record = msgspec.json.decode(content, type=kind)
        if record.sha256 and record.sha256 != _sha256(record):
            raise damaged(path, "other content", f"content of SHA-256 {record.sha256}")
        return replace(record, sha256="")
    except msgspec.ValidationError as error:
        raise damaged(path, *received_and_expected(str(error))) from error
    except FileNotFoundError as error:
        raise damaged(path, "no file", "a JSON object") from error
    except PermissionError as error:
        raise StudyStateError(
            f"{path} cannot be read.",
            "Expected read permission; found none.",
            "change the permissions.",
        ) from error
    except (OSError, ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise damaged(path, str(error), "a JSON object") from error


def write_record(path: Path, record: StoredRecord) -> None:
    """Writes a record atomically, as indented JSON.

    Raises:
        ValueError: If a value does not fit the record, e.g. a number is NaN or infinite.
    """
    write_text(path, record_text(record))


def record_text(record: StoredRecord) -> str:
    """A record as indented JSON, validated, with a line break at its end.

    Raises:
        ValueError: If a value does not fit the record, e.g. a number is NaN or infinite.
    """
    # msgspec writes NaN as null, which decoding refuses.
    decoded = msgspec.json.decode(msgspec.json.encode(record), type=type(record))
    content = msgspec.json.encode(replace(decoded, sha256=_sha256(decoded)))
    return msgspec.json.format(content, indent=2).decode() + "\n"


def _sha256(record: StoredRecord) -> str:
    """Of the values, not of the text: a file that is indented in another way is the same."""
    return hashlib.sha256(msgspec.json.encode(replace(record, sha256=""))).hexdigest()


class _Described(msgspec.Struct):
    files: dict[str, str] = {}


def described_folders(path: Path) -> list[Path]:
    """The record of each folder in a folder; one that is missing is an error when it is read."""
    folders = sorted(path.glob("[!.]*")) if path.is_dir() else []  # hidden: not written to its end
    return [folder / METRICS_FILE for folder in folders if folder.is_dir()]


def file_checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of a folder, as the `files` of the record that comes next to it."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}


def require_described(path: Path) -> None:
    """Checks that a file has the content that `metrics.json` in its folder states, if it does.

    Raises:
        StudyStateError: If it has not.
        OSError: If it cannot be read.
    """
    try:
        content = path.with_name(METRICS_FILE).read_bytes()
        expected = msgspec.json.decode(content, type=_Described).files.get(path.name)
    except (OSError, ValueError):  # the record is not written yet; or whoever reads it reports it
        return
    if expected:
        require_sha256(path, expected)


def require_sha256(path: Path, expected: str) -> None:
    """Checks the content of a file.

    Raises:
        StudyStateError: If it is another.
        OSError: If it cannot be read.
    """
    if (received := file_sha256(path)) != expected:
        raise damaged(path, f"SHA-256 {received}", f"SHA-256 {expected}")


def damaged(path: Path, received: str, expected: str) -> StudyStateError:
    """The error that names a damaged file, what was expected and what was received."""
    return StudyStateError(
        f"{path} is damaged.",
        f"Expected {expected}; received {received}.",
        "restore the file from a backup, or move the study's folder away.",
    )


def ensure_writable(folder: Path, names: Collection[str]) -> None:
    """Checks that a folder holds nothing but what the same command wrote there before.

    Args:
        folder: Where the command is going to write; need not exist.
        names: The files and folders that the command writes.

    Raises:
        UsageError: If it holds anything else, is a file, or contains the working directory.
    """
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    others = [name for name in found if name not in names]
    inside = Path.cwd().is_relative_to(folder.resolve())
    if others or inside or (folder.exists() and not folder.is_dir()):
        raise UsageError(
            f"{folder} cannot be replaced.",
            "Expected a new or empty folder, or one with an earlier page; found "
            + ("the working directory." if inside else f"{', '.join(others[:3]) or 'a file'}."),
            "another folder.",
        )


def received_and_expected(message: str) -> tuple[str, str]:
    """Splits msgspec's "Expected `int`, got `str` - at `$.seed`" into what the user reads."""
    detail, _, key = message.partition(" - at ")
    where = f" at {key.strip('`').removeprefix('$.')}" if key else ""
    if found := re.fullmatch(r"Expected (.*), got (.*)", detail):
        return found[2], f"{found[1]}{where}"
    return f"{detail[0].lower()}{detail[1:]}{where}", "the record as this version stores it"
