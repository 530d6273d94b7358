"""Files: atomic writes that survive a kill, content hashes, free space, the user's cache folder."""

import hashlib
import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import platformdirs

from concrete_study.datasets.errors import ResourceError

MEGABYTE = 1_000_000
# A temporary file has the machine and the process of its writer in its name: `.NAME.HOST-PID-xxxx`.
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_TEMPORARY = re.compile(r"\..+\.([0-9a-f]{8})-(\d+)-[a-z0-9_]{8}")
_ABANDONED_SECONDS = 86_400.0  # without a write, on a machine of which the processes are unknown


def cache_folder() -> Path:
    """The user's cache folder for features and the sample; `STUDY_CACHE_DIR` overrides it."""
    override = os.environ.get("STUDY_CACHE_DIR")
    return Path(override) if override else Path(platformdirs.user_cache_dir("concrete-study"))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path next to `path` that replaces it when the block succeeds.

    The bytes are on the disk (fsync) before the rename, so a reader sees the old file or
    the complete new one, also after a power cut; on an error the temporary file is removed, and
    after a kill by the next process that writes into the folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_temporary_files(path.parent.absolute())
    prefix = f".{path.name}.{_HOST}-{os.getpid()}-"
    with NamedTemporaryFile(dir=path.parent, prefix=prefix, delete=False) as file:
        temporary = Path(file.name)
    try:
        yield temporary
        _sync(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@cache
def _remove_temporary_files(folder: Path) -> None:
    """Removes temporary files of processes that have ended, once in each process."""
    for path in folder.iterdir():
        if match := _TEMPORARY.fullmatch(path.name):
            with suppress(OSError):  # another process removes it, or it is another user's
                if _is_abandoned(path, match[1], int(match[2])):
                    path.unlink()


def _is_abandoned(path: Path, host: str, process: int) -> bool:
    if host != _HOST or sys.platform == "win32":  # where signal 0 is Ctrl-C
        return time.time() - path.stat().st_mtime > _ABANDONED_SECONDS
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


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
