"""Damages the files of a study and runs commands on it, in this process."""

import io
import os
import re
import shutil
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

from damages import DAMAGES

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode

COMPARED = {".csv", ".json", ".md", ".toml"}
SECONDS = 120
TIME = re.compile(r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?")


class HangError(BaseException):
    """A command takes too long."""


class Ran(NamedTuple):
    """What a command printed and left."""

    code: int
    output: list[str]
    error: str
    files: dict[str, list[str]]  # the lines of each text file
    opened: set[str]


class Case(NamedTuple):
    """A damaged file and the command that ran afterwards."""

    damage: str
    file: str
    command: str


class Harness:
    """A study in a folder, which is restored before every command.

    Args:
        folder: Has `images`, `site`, `runs` and `cache`; is the working folder meanwhile.
        commands: Those that run, by name.
    """

    def __init__(self, folder: Path, commands: Mapping[str, Sequence[str]]) -> None:
        self.folder, self.commands = folder, commands
        sys.addaudithook(_watch)
        self.whole = folder / "whole"
        for name in ("runs", "cache"):
            if not (self.whole / name).exists():
                shutil.copytree(folder / name, self.whole / name)
        self.opened: defaultdict[str, set[str]] = defaultdict(set)  # by command
        self.expected = {name: self._expect(name) for name in commands}

    def files(self, most: int) -> list[str]:
        """The files that some command opens; of one folder and suffix only so many."""
        found, counts = [], Counter[tuple[Path, str]]()
        for path in sorted(self.whole.rglob("*")):
            name = str(path.relative_to(self.whole))
            kind = path.parent, path.suffix
            opened = any(name in opened for opened in self.opened.values())
            if opened and path.is_file() and counts[kind] < most:
                counts[kind] += 1
                found.append(name)
        return found

    def cases(self, files: Sequence[str]) -> list[Case]:
        """Each way to damage each file, for each command that opens it."""
        return [
            Case(kind, file, command)
            for file in files
            for command in self.commands
            if file in self.opened[command]
            for kind in DAMAGES
        ]

    def check(self, cases: Sequence[Case]) -> Iterator[tuple[Case, str]]:
        """Damages files and runs commands; yields `repaired`, `refused` or what is wrong."""
        for case in cases:
            self.restore()
            if DAMAGES[case.damage](self.folder / case.file):
                damaged = _lines(self.folder / case.file)
                ran = self.run(case.command)
                yield case, self._judge(case.command, case.file, damaged, ran)
        self.restore()

    def run(self, command: str) -> Ran:
        """Runs a command in this process; an exception becomes the exit code BUG."""
        output, error = io.StringIO(), io.StringIO()
        with chdir(self.folder), redirect_stdout(output), redirect_stderr(error), _limited():
            _opened.clear()
            try:
                code = run(self.commands[command])
            except (Exception, HangError) as bug:
                code, where = ExitCode.BUG, bug.__traceback__
                while where and where.tb_next:
                    where = where.tb_next
                line = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else ""
                error.write(f"\n{type(bug).__name__}: {str(bug)[:200]} ({line})")
            opened = {name.removeprefix(f"{self.folder}/") for name in _opened}
        text = {str(p.relative_to(self.folder)): _lines(p) for p in self._text_files()}
        return Ran(code, output.getvalue().splitlines(), error.getvalue(), text, opened)

    def restore(self) -> None:
        """Puts all files back that are not as they were."""
        for name in ("runs", "cache"):
            for path in sorted((self.folder / name).rglob("*"), reverse=True):
                if not _same(path, self.whole / path.relative_to(self.folder)):
                    if path.is_dir() and not path.is_symlink():
                        shutil.rmtree(path)
                    else:
                        path.unlink()
            for path in sorted((self.whole / name).rglob("*")):
                target = self.folder / path.relative_to(self.whole)
                if path.is_dir():
                    target.mkdir(exist_ok=True)
                elif not target.exists():
                    shutil.copy2(path, target)

    def _text_files(self) -> Iterator[Path]:
        for path in (self.folder / "runs").rglob("*"):
            if path.suffix in COMPARED and "keras_tuner" not in path.parts:
                yield path

    def _expect(self, command: str) -> Ran:
        """What is the same in two runs without damage; other lines are empty."""
        self.restore()
        first = self.run(command)
        self.opened[command] = {
            name for name in first.opened if name[0] != "/" and (self.whole / name).is_file()
        }
        self.restore()
        second = self.run(command)
        if first.code:
            raise SystemExit(f"{command} ended with code {first.code}:\n{first.error}")
        files = {
            name: _common(lines, second.files.get(name, [])) for name, lines in first.files.items()
        }
        return Ran(first.code, _common(first.output, second.output), "", files, set())

    def _judge(self, command: str, file: str, damaged: list[str], ran: Ran) -> str:
        if ran.code in (ExitCode.STUDY, ExitCode.DATA, ExitCode.SEARCH, ExitCode.RESOURCES):
            message = ran.error.partition("Error: ")[2]
            named = Path(file).name in message or Path(file).parent.name in message
            return "refused" if named and "Try: " in message else f"unclear: {message[:300]!r}"
        if ran.code:
            return f"code {ran.code}: {ran.error.strip().splitlines()[-1][:300]}"
        if "Warning: " in ran.error and str(Path(file).parent) in ran.error:
            return "refused"  # by `list`, which continues with other studies
        expected = self.expected[command]
        wrong = [] if _agree(expected.output, ran.output) else ["output"]
        for name in expected.files.keys() | ran.files.keys():
            lines = ran.files.get(name, [])
            if not (name == file and lines == damaged):  # not repaired, but not needed either
                wrong += [] if _agree(expected.files.get(name, []), lines) else [name]
        return f"other {', '.join(sorted(wrong)[:4])}" if wrong else "repaired"


def _lines(path: Path) -> list[str]:
    try:
        return TIME.sub("", path.read_text(encoding="utf-8", errors="replace")).splitlines()
    except OSError:
        return []


def _common(first: Sequence[str], second: Sequence[str]) -> list[str]:
    same = len(first) == len(second)
    return [a if same and a == b else "" for a, b in zip(first, second, strict=False)]


def _agree(expected: Sequence[str], received: Sequence[str]) -> bool:
    return len(expected) == len(received) and all(
        line in ("", found) for line, found in zip(expected, received, strict=True)
    )


def _same(path: Path, whole: Path) -> bool:
    if path.is_symlink() or not whole.exists() or path.is_dir() != whole.is_dir():
        return False
    now, before = path.stat(), whole.stat()
    return path.is_dir() or (now.st_size, now.st_mtime_ns, now.st_mode) == (
        *(before.st_size, before.st_mtime_ns, before.st_mode),
    )


_opened: set[str] = set()  # absolute paths of what was opened or replaced


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("open", "os.rename"):
        path = arguments[event == "os.rename"]
        if isinstance(path, str | bytes | os.PathLike):
            _opened.add(str(Path(os.fsdecode(path)).absolute()))


@contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise HangError(f"not done after {SECONDS} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
