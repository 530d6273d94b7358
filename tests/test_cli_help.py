"""The help: fast, complete, with an example per command; "Getting started" names all commands."""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from concrete_study.cli.app import build_app, run
from concrete_study.cli.errors import ExitCode

ROOT = Path(__file__).parents[1]
COMMANDS = ["search", "audit", "best", "baseline", "evaluate", "adapt", "predict", "explain"]
COMMANDS += ["list", "show", "config", "report", "compare", "rename", "rm", "doctor"]
DATA_COMMANDS = ["check", "fetch", "sample"]
ALL_COMMANDS = [[name] for name in COMMANDS] + [["data", name] for name in DATA_COMMANDS]
HEAVY = (
    "tensorflow",
    "keras",
    "keras_tuner",
    "pandas",
    "numpy",
    "matplotlib",
    "sklearn",
    "cleanlab",
    "rich",
)


def test_help_takes_less_than_half_a_second_of_cpu_time() -> None:
    times, command = [], [sys.executable, "-m", "concrete_study", "--help"]
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(times) < 0.5


def test_help_imports_no_heavy_package() -> None:
    code = (
        "import sys; from concrete_study.cli.app import run\n"
        f"for arguments in {[[], ['data'], *ALL_COMMANDS]!r}:\n"
        "    assert run([*arguments, '--help']) == 0\n"
        f"    assert not set({HEAVY!r}) & set(sys.modules), arguments"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_help_lists_the_commands_in_the_order_of_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == ExitCode.OK
    listed = capsys.readouterr().out.partition("Commands:")[2]
    assert "..." not in listed, "a summary is longer than its column"
    assert re.findall(r"^  (\w+) ", listed, flags=re.MULTILINE) == [*COMMANDS, "data"]


def test_no_arguments_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == ExitCode.OK
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize("command", ALL_COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_and_is_in_getting_started(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "--help"]) == ExitCode.OK
    typed = " ".join(["study", *command])
    usage, _, rest = capsys.readouterr().out.partition("\n")
    assert usage.startswith(f"Usage: {typed}")
    assert re.search(rf"^ +(Example: +)?{typed}\b", rest, flags=re.MULTILINE), rest
    summary = " ".join(rest.strip().split("\n\n")[0].split())
    assert re.fullmatch(r"[A-Z].+[^.]\.", summary), summary
    assert typed in (ROOT / "docs/getting-started.md").read_text(encoding="utf-8")


def test_every_command_is_registered() -> None:
    app = build_app()
    assert [command.name for command in app.registered_commands] == COMMANDS
    (data,) = app.registered_groups
    assert data.typer_instance is not None
    assert [c.name for c in data.typer_instance.registered_commands] == DATA_COMMANDS


def test_the_shell_completes_the_names_of_studies(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "study.json").write_text("{}")
    typed = {"_STUDY_COMPLETE": "complete_bash", "COMP_WORDS": "study best s", "COMP_CWORD": "2"}
    ended = subprocess.run(
        [sys.executable, "-m", "concrete_study"],
        cwd=tmp_path,
        env=os.environ | typed | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.split() == ["second"]
