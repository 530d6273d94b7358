"""Zip files of images: unpacked once into the user's cache folder, by their content."""

import errno
import stat
from pathlib import Path, PurePosixPath
from zipfile import ZipFile, ZipInfo, is_zipfile

from filelock import FileLock

from concrete_study.datasets.errors import DataError, StudyError
from concrete_study.datasets.files import cache_folder, file_sha256, replacing_folder, require_space
from concrete_study.datasets.progress import SILENT, Progress

_OTHER_ARCHIVES = frozenset({".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz"})
# Errors for names that this system cannot store, or that are both a file's and a folder's; bz2's
# and zipfile's own OSErrors have no number.
_OF_NAMES = (None, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL)
_BLOCK = 4096  # bytes; a file takes whole ones


def open_archive(path: Path, progress: Progress = SILENT) -> Path:
    """The folder of images that a path stands for: itself, or where its zip file is unpacked.

    Raises:
        DataError: If it is another archive, damaged, encrypted, or has names that lead outside
            the folder.
        ResourceError: If it does not fit into the cache folder.
    """
    if not path.is_file():
        return path
    if path.suffix.lower() in _OTHER_ARCHIVES:
        raise DataError(
            f"{path} is a {path.suffix[1:].upper()} archive.",
            "Expected a folder or a zip file.",
            f"unpack it, e.g. with 7-Zip: 7z x {path.name}, and give the folder.",
        )
    if path.suffix.lower() != ".zip" and not is_zipfile(path):
        return path
    try:
        return _unpacked(path, progress)
    except (StudyError, MemoryError):
        raise
    except Exception as error:  # of zipfile, zlib, lzma, struct, ...: damage has many kinds
        if isinstance(error, OSError) and error.errno not in _OF_NAMES:
            raise  # the disk's, not the archive's
        raise DataError(
            f"{path} cannot be unpacked.",
            f"Expected an intact zip file without a password; received: {error}.",
            "download it again, or unpack it and give the folder.",
        ) from error


def _unpacked(path: Path, progress: Progress) -> Path:
    folder = cache_folder() / "archives" / file_sha256(path)[:32]
    images = folder / (path.stem or "images")
    if folder.is_dir():
        return next(folder.iterdir())  # the same content may have another name
    with FileLock(folder.with_suffix(".lock")), ZipFile(path) as archive:
        if folder.is_dir():
            return next(folder.iterdir())  # another process was faster
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        for entry in entries:
            _require_inside(path, entry)
        require_space(folder.parent, sum(entry.file_size + _BLOCK for entry in entries))
        with (
            progress.counting(f"unpacking {path.name}", len(entries), "files") as done,
            replacing_folder(folder) as temporary,
        ):
            (temporary / images.name).mkdir()
            for entry in entries:
                archive.extract(entry, temporary / images.name)
                done(1)
    return images


def _require_inside(path: Path, entry: ZipInfo) -> None:
    """DataError for an entry that is absolute, leads outside the folder, or is a link."""
    parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    drive = bool(parts) and parts[0].endswith(":")
    if is_link or drive or ".." in parts or entry.filename.startswith(("/", "\\")):
        raise DataError(
            f"{path} has an entry that leads outside its folder.",
            f"Expected relative names of files; received {entry.filename}.",
            "unpack it yourself, and give the folder.",
        )
