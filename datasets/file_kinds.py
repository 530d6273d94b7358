"""Which files are images, by suffix or by their first bytes; which folders are not read."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from PIL import features

_ALWAYS = {
    "JPEG": (".jpg", ".jpeg", ".jfif", ".jpe"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
}
_OPTIONAL = {  # Pillow may be built without them
    "WEBP": ("webp", (".webp",)),
    "AVIF": ("avif", (".avif",)),
    "JPEG2000": ("jpg_2000", (".jp2",)),
}
_HEIC = (".heic", ".heif")
_NOT_READ_NAMES = (
    ".arw .cr2 .cr3 .dng .eps .exr .hdr .ico .j2k .jxl .nef .orf .psd .raf .raw .rw2 .svg .tga .xcf"
)
_NOT_READ = frozenset(_NOT_READ_NAMES.split())
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"BM", b"GIF8", b"II*\0", b"MM\0*")
# What is in these folders are deleted files, thumbnails or no images.
_SYSTEM_FOLDERS = frozenset(
    {
        *("$recycle.bin", "system volume information", ".spotlight-v100", ".trash", ".trashes"),
        *("@eadir", "#recycle", ".thumbnails", "__macosx"),  # Synology's first
        *(".git", ".ipynb_checkpoints", "__pycache__"),
    }
)
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db", ".ds_store"})


def _known() -> dict[str, tuple[str, ...]]:
    """Suffixes by format of Pillow, of the formats that this machine decodes."""
    known = _ALWAYS | {
        name: suffixes for name, (part, suffixes) in _OPTIONAL.items() if features.check(part)
    }
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
        known["HEIF"] = _HEIC
    return known


_KNOWN = _known()
FORMATS = tuple(_KNOWN)
SUFFIXES = frozenset(suffix for suffixes in _KNOWN.values() for suffix in suffixes)
OTHER_IMAGES = (
    _NOT_READ
    | frozenset(_HEIC)
    | frozenset(suffix for _, suffixes in _OPTIONAL.values() for suffix in suffixes)
) - SUFFIXES


class Kind(NamedTuple):
    """What a file is; with a reason, it is not read."""

    is_image: bool
    reason: str = ""


_IMAGE = Kind(True)


def is_system_folder(name: str) -> bool:
    """Whether a folder of this name belongs to a system or a tool."""
    return name.lower() in _SYSTEM_FOLDERS


def is_skipped_folder(name: str) -> bool:
    """Whether images in a folder of this name are not read: a system's, or hidden."""
    return name.startswith(".") or is_system_folder(name)


def kind_of(path: Path) -> Kind:
    """Classifies a file; only one without a suffix is opened.

    Raises:
        OSError: If a file without a suffix cannot be read.
    """
    name, suffix = path.name.lower(), path.suffix.lower()
    if name in _SYSTEM_FILES:
        return Kind(False, "system files")
    if name.startswith("._"):
        return Kind(False, "AppleDouble files, macOS's metadata")
    if name.startswith("."):
        return Kind(False, "hidden files")
    if suffix in SUFFIXES:
        return Kind(True, "not a regular file") if _is_special(path) else _IMAGE
    if suffix in OTHER_IMAGES:
        return _unread(suffix)
    if path.is_symlink() and not path.exists():
        return Kind(True, "dead links")  # perhaps to a class folder
    if suffix or not path.is_file():
        return Kind(False, "other files")
    with path.open("rb") as file:
        return _sniffed(file.read(16))


def _is_special(path: Path) -> bool:
    """Whether it is a pipe, a socket or a device; a dead link is not."""
    return path.exists() and not path.is_file()


def _unread(suffix: str) -> Kind:
    if suffix in _HEIC:
        return Kind(True, f"{suffix} needs the extra heic: pip install 'concrete-study[heic]'")
    return Kind(True, f"{suffix} is not read: convert to JPEG or PNG")


def _sniffed(start: bytes) -> Kind:
    if start.startswith(_SIGNATURES) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP"):
        return _IMAGE
    if start[4:8] == b"ftyp":
        suffix = {b"avif": ".avif", b"heic": ".heic", b"mif1": ".heic", b"heix": ".heic"}.get(
            start[8:12]
        )
        if suffix is not None:
            return _IMAGE if suffix in SUFFIXES else _unread(suffix)
    return Kind(False, "other files")
