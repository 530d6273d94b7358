import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import typer

import concrete_study.cli.app
from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.errors import DataError

ROOT = Path(__file__).parents[1]


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `study` in a new process."""
    return subprocess.run(
        [sys.executable, "-m", "concrete_study", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def command_that(act: Callable[[], None]) -> Callable[[], typer.Typer]:
    """A command line whose only command, `study act`, does `act`."""

    def build() -> typer.Typer:
        app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
        app.callback()(lambda: None)
        app.command("act")(act)
        return app

    return build


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> NoReturn:
        raise error

    return act


def test_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == ExitCode.OK
    assert re.fullmatch(r"study \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_an_unknown_command_is_a_usage_error() -> None:
    ended = start("serch")
    assert ended.returncode == ExitCode.USAGE
    assert "Error: No such command 'serch'" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            DataError("no class folders.", "Expected 2; found 0.", "look."),
            ExitCode.DATA,
            "no class",
        ),
        (OSError(errno.ENOSPC, "No space left", "x.npy"), ExitCode.RESOURCES, "x.npy"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), ExitCode.RESOURCES, "quota"),
        (OSError(errno.EACCES, "Permission denied", "runs/.a.x"), ExitCode.RESOURCES, "runs/.a.x"),
        (
            OSError(errno.EPERM, "Not permitted", b"runs/a"),
            ExitCode.RESOURCES,
            "Cannot access runs/a",
        ),
        (OSError(errno.EROFS, "Read-only file system", "runs/a"), ExitCode.RESOURCES, "Try: "),
        (MemoryError("Unable to allocate 9 GiB"), ExitCode.RESOURCES, "9 GiB"),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "Interrupted"),
    ],
)
def test_an_error_that_a_user_can_fix_ends_with_a_message_and_a_code(
    error: BaseException,
    code: ExitCode,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(concrete_study.cli.app, "build_app", command_that(raising(error)))
    assert run(["act"]) == code
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("path", "dead_link"),
    [("runs", False), ("runs", True), ("runs/first", False), ("runs/first/trials", False)],
)
def test_a_file_where_a_folder_must_be_is_named(
    path: str,
    dead_link: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "runs"
    if dead_link:
        file.symlink_to("nowhere")
    else:
        file.touch()

    def act() -> None:
        (tmp_path / path).mkdir(exist_ok=True)

    monkeypatch.setattr(concrete_study.cli.app, "build_app", command_that(act))
    assert run(["act"]) == ExitCode.RESOURCES
    problem, expected, hint = capsys.readouterr().err.splitlines()
    assert problem.startswith(f"Error: Cannot create a folder at {file}: ")
    assert expected == f"Expected {file} to be a folder or not to exist; found a file."
    assert hint.startswith("Try: move the file")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        PermissionError(errno.EACCES, "no"),  # names no file
        FileExistsError(errno.EEXIST, "File exists", str(ROOT)),  # a folder is there
        FileNotFoundError(errno.ENOENT, "No such file", "a"),
    ],
)
def test_a_bug_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concrete_study.cli.app, "build_app", command_that(raising(error)))
    with pytest.raises(type(error)):
        run(["act"])


def test_sigterm_stops_like_ctrl_c() -> None:
    code = (
        "import os, signal, concrete_study.cli.app\n"
        "from tests.test_cli_app import command_that\n"
        "act = command_that(lambda: os.kill(os.getpid(), signal.SIGTERM))\n"
        "concrete_study.cli.app.build_app = act\n"
        "concrete_study.cli.app.main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "act"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == ExitCode.INTERRUPTED == 128 + signal.SIGINT
    assert ended.stderr.strip() == "Interrupted; finished work is kept."


def test_a_closed_pipe_prints_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "concrete_study", "--help"],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (ExitCode.INTERRUPTED, "")


def test_the_documentation_lists_all_exit_codes() -> None:
    rows = re.findall(
        r"^\| (\d+) \| (\w+) \|", (ROOT / "docs/exit-codes.md").read_text(), flags=re.MULTILINE
    )
    assert [(int(value), name) for value, name in rows] == [
        (code.value, name) for name, code in ExitCode.__members__.items()
    ]


def test_the_documentation_quotes_the_message_of_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = " ".join((ROOT / "docs/exit-codes.md").read_text().split())
    monkeypatch.setattr(
        concrete_study.cli.app, "build_app", command_that(raising(KeyboardInterrupt()))
    )
    assert run(["act"]) == ExitCode.INTERRUPTED
    assert f"Code 130 prints `{capsys.readouterr().err.strip()}`" in page
    assert "`study search --name NAME --resume`" in page
