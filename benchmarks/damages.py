"""Ways to damage a file; each returns False where it changes nothing."""

import os
import re
from collections.abc import Callable
from pathlib import Path


def _flip(path: Path, find: Callable[[bytes], int | None]) -> bool:
    content = bytearray(path.read_bytes())
    if not content or (position := find(bytes(content))) is None:
        return False
    content[position] ^= 1
    path.write_bytes(content)
    return True


def _middle_digit(content: bytes) -> int | None:
    """The digit nearest to the middle of a text."""
    if b"\0" in content:
        return None
    digits = [found.start() for found in re.finditer(rb"[0-9]", content)]
    return min(digits, key=lambda at: abs(at - len(content) // 2), default=None)


def _other_version(path: Path) -> bool:
    content = path.read_bytes()
    changed = re.sub(rb'("schema_version":) ?\d+', rb"\1 99", content)
    return changed != content and bool(path.write_bytes(changed))


def _replace_by_folder(path: Path) -> bool:
    path.unlink()
    path.mkdir()
    return True


def _link(path: Path, target: Path | str) -> bool:
    path.unlink()
    path.symlink_to(target)
    return True


def _link_to_sibling(path: Path) -> bool:
    """The next file of the same kind in its folder, else any other file."""
    others = [p for p in sorted(path.parent.iterdir()) if p.is_file() and p != path]
    alike = [p for p in others if p.suffix == path.suffix]
    return bool(others) and _link(path, (alike or others)[0].resolve())


def _write(path: Path, content: bytes) -> bool:
    before = path.read_bytes()
    path.write_bytes(content)
    return content != before


def _delete(path: Path) -> bool:
    path.unlink()
    return True


def _forbid(path: Path) -> bool:
    path.chmod(0)
    return not os.access(path, os.R_OK)  # root may


DAMAGES: dict[str, Callable[[Path], bool]] = {  # False where it changes nothing
    "truncated": lambda path: _write(path, path.read_bytes()[: path.stat().st_size // 2]),
    "emptied": lambda path: _write(path, b""),
    "bit flipped": lambda path: _flip(path, lambda content: len(content) // 2),
    "digit changed": lambda path: _flip(path, _middle_digit),
    "deleted": _delete,
    "other version": _other_version,
    "not readable": _forbid,
    "a folder": _replace_by_folder,
    "a dangling link": lambda path: _link(path, "nowhere"),
    "a link to another file": _link_to_sibling,
}
