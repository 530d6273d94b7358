"""Damages every file of a study and of the cache in turn, and runs the commands that read it.

    python benchmarks/damage.py
    python benchmarks/damage.py --files 1 --commands show report search

A study of 28 drawn images at 32 pixels goes through search, best, evaluate, adapt, audit and
report. Then each of its files, and each file of the feature cache, is damaged in every way of
`DAMAGES`, and each command that opens it runs in this process. Which files a command opens is
seen when it runs without damage. Allowed are

- repaired: the same output and the same files as without the damage;
- refused: one message that names the file and says what to do, with a documented exit code.

Anything else is wrong: a traceback, another result, over two minutes, a message without a name.
Prints a table of counts and what is wrong; the exit code is 1 after anything wrong. Linux and
macOS; as root on Linux it needs `setpriv`, since root may read every file.
"""

import argparse
import io
import os
import re
import shutil
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.sample import make_sample

SMALL = (
    *("--image-size", "32", "--views", "2", "--batch-size", "8", "--precision", "float32"),
    *("--seed", "5", "--max-epochs", "2", "--algorithm", "random", "--trials", "2"),
    *("--folds", "2", "--space", "space.toml"),
)
SEARCH = ("search", "--data", "images", *SMALL)
SPACE = 'head_units = 0\nunfreeze_depth = [0, 1]\nfeature_layers = "block5"\n'
MAKE = (
    (*SEARCH, "--name", "x"),
    ("best", "x", "--export", "--format", "keras"),
    ("evaluate", "x", "--data", "site"),
    ("adapt", "x", "--data", "site"),
    ("audit", "x"),
    ("report", "x"),
)
COMMANDS = {
    "list": ("list",),
    "show": ("show", "x"),
    "config": ("config", "x"),
    "compare": ("compare", "x", "x"),
    "report": ("report", "x"),
    "best": ("best", "x"),
    "export": ("best", "x", "--export", "--format", "keras"),
    "retrain": ("best", "x", "--retrain"),
    "predict": ("predict", "--study", "x", "--recall", "0.9", "site"),
    "predict adapted": ("predict", "--study", "x:site", "site"),
    "explain": ("explain", "--study", "x", "site/Positive/0000.jpg", "--output", "e.png"),
    "evaluate": ("evaluate", "x", "--data", "site"),
    "adapt": ("adapt", "x", "--data", "site"),
    "audit": ("audit", "x"),
    "resume": ("search", "--name", "x", "--resume"),
    "search": (*SEARCH, "--name", "y"),
    "data check": ("data", "check", "images"),
    "rename": ("rename", "x", "z"),
    "doctor": ("doctor",),
}
COMPARED = {".csv", ".json", ".md", ".toml"}
SECONDS = 120


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

    def check(self, files: Sequence[str], kinds: Sequence[str]) -> Iterator[tuple[Case, str]]:
        """Damages files and runs commands; yields `repaired`, `refused` or what is wrong."""
        for file in files:
            for command in [name for name in self.commands if file in self.opened[name]]:
                for kind in kinds:
                    self.restore()
                    if DAMAGES[kind](self.folder / file):
                        damaged = _lines(self.folder / file)
                        ran = self.run(command)
                        yield Case(kind, file, command), self._judge(command, file, damaged, ran)
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
        self.opened[command] = {name for name in first.opened if (self.whole / name).is_file()}
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
        if "Warning: " in ran.error and file in ran.error:
            return "refused"  # by `list`, which goes on with other studies
        expected = self.expected[command]
        wrong = [] if _agree(expected.output, ran.output) else ["output"]
        for name in expected.files.keys() | ran.files.keys():
            lines = ran.files.get(name, [])
            if not (name == file and lines == damaged):  # not repaired, but not needed either
                wrong += [] if _agree(expected.files.get(name, []), lines) else [name]
        return f"other {', '.join(sorted(wrong)[:4])}" if wrong else "repaired"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
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


def make(folder: Path) -> None:
    """A finished study and its cache."""
    make_sample(folder / "images", images=28, size=48, seed=3)
    make_sample(folder / "site", images=28, size=48, seed=11)
    (folder / "space.toml").write_text(SPACE)
    with chdir(folder):
        for command in MAKE:
            if code := run(command):
                raise SystemExit(f"{command} ended with code {code}")


def main() -> None:
    """Damages every file and prints what happens."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2, help="of one folder and suffix")
    parser.add_argument("--only", default="", help="files whose path contains this")
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=[*COMMANDS])
    given = parser.parse_args()
    if os.geteuid() == 0 and "DAMAGE_DROPPED" not in os.environ:
        drop = "--bounding-set=-dac_override,-dac_read_search"
        os.execvpe(  # noqa: S606 - this program, with fewer rights
            "setpriv",  # noqa: S607
            ["setpriv", drop, sys.executable, *sys.argv],
            os.environ | {"DAMAGE_DROPPED": "1"},
        )
    counts, wrong = defaultdict[str, Counter[str]](Counter), []
    with TemporaryDirectory(prefix="damage-") as name:
        folder = Path(name).resolve()
        os.environ["GIT_DIR"] = "nowhere"  # a commit meanwhile is no difference
        os.environ["STUDY_CACHE_DIR"] = str(folder / "cache")
        make(folder)
        harness = Harness(folder, {name: COMMANDS[name] for name in given.commands})
        files = [file for file in harness.files(given.files) if given.only in file]
        for case, result in harness.check(files, [*DAMAGES]):
            counts[case.damage][result if result in ("repaired", "refused") else "wrong"] += 1
            if result not in ("repaired", "refused"):
                wrong.append(f"{case.file}, {case.damage}, {case.command}: {result}")
                print(wrong[-1], flush=True)
    print(f"\n{len(files)} files\n\n| damage | repaired | refused | wrong |\n|---|---|---|---|")
    for kind in DAMAGES:
        found = counts[kind]
        print(f"| {kind} | {found['repaired']} | {found['refused']} | {found['wrong']} |")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
