"""Files: atomic writes that survive a kill, content hashes, free space, the user's cache folder."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import platformdirs

from concrete_study.datasets.errors import ResourceError

MEGABYTE = 1_000_000


def cache_folder() -> Path:
    """The user's cache folder for features and the sample; `STUDY_CACHE_DIR` overrides it."""
    override = os.environ.get("STUDY_CACHE_DIR")
    return Path(override) if override else Path(platformdirs.user_cache_dir("concrete-study"))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path next to `path` that replaces it when the block succeeds.

    The bytes are on the disk (fsync) before the rename, so a reader sees the old file or
    the complete new one, also after a power cut; on an error the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        temporary = Path(file.name)
    try:
        yield temporary
        _sync(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yields a new folder next to `path` that replaces it when the block succeeds.

    Folders cannot be exchanged in one step: a kill between the two renames leaves the old one
    as `.NAME.old`, which the next call restores.
    """
    temporary, old = path.with_name(f".{path.name}.new"), path.with_name(f".{path.name}.old")
    _put_back(old, path)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _sync(file)
        if path.exists():
            path.replace(old)
        temporary.replace(path)
    finally:
        _put_back(old, path)
        shutil.rmtree(temporary, ignore_errors=True)


def _put_back(old: Path, path: Path) -> None:
    """Restores `old` if `path` is missing; else removes it."""
    if old.exists() and not path.exists():
        old.replace(path)
    shutil.rmtree(old, ignore_errors=True)


def _sync(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes indented JSON atomically; raises ValueError for NaN, which JSON does not have."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def require_space(folder: Path, needed: float) -> None:
    """Raises ResourceError if fewer bytes than needed are free on a folder's disk."""
    if (free := shutil.disk_usage(folder).free) < needed:
        raise ResourceError(
            f"not enough disk space at {folder}.",
            f"Expected {needed / MEGABYTE:,.0f} MB; found {free / MEGABYTE:,.0f} MB.",
            "free some space, or another folder; STUDY_CACHE_DIR moves the cache.",
        )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
