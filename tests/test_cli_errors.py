"""The command line adds option names, commands and exit codes; the packages below know none."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from concrete_study.cli.app import build_app
from concrete_study.cli.errors import COMMANDS, ExitCode, exit_code, message
from concrete_study.datasets.errors import (
    DataError,
    NotRetrainedError,
    ResourceError,
    SearchError,
    StudyError,
    StudyExistsError,
    StudyStateError,
    UnfinishedStudyError,
    UnknownStudyError,
    UsageError,
)

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError, ExitCode.USAGE),
        (DataError, ExitCode.DATA),
        (StudyStateError, ExitCode.STUDY),
        (UnknownStudyError, ExitCode.STUDY),
        (NotRetrainedError, ExitCode.STUDY),
        (SearchError, ExitCode.SEARCH),
        (ResourceError, ExitCode.RESOURCES),
    ],
)
def test_an_error_has_the_exit_code_of_its_nearest_class(
    error: type[StudyError], code: ExitCode
) -> None:
    assert exit_code(error("a problem.")) is code
    assert exit_code(type("Special", (error,), {})("a problem.")) is code


def test_every_error_class_has_an_exit_code() -> None:
    kinds = StudyError.__subclasses__()
    for kind in kinds:
        kinds += kind.__subclasses__()
        assert exit_code(kind.__new__(kind)) > ExitCode.BUG


def test_an_argument_is_printed_as_its_option() -> None:
    error = UsageError("31 is too small.", "Expected at least 32.", parameter="image_size")
    assert message(error) == "--image-size: 31 is too small.\nExpected at least 32."
    assert str(error) == "image_size: 31 is too small.\nExpected at least 32."


def test_a_message_without_argument_expectation_or_hint_is_one_line() -> None:
    assert message(DataError("No class folders.")) == "No class folders."


def test_an_error_without_a_hint_gets_the_command_of_its_class() -> None:
    for error, hint in (
        (UnknownStudyError("No study frist."), "study list"),
        (UnfinishedStudyError("a.", study="first"), "study search --name first --resume"),
        (NotRetrainedError("a.", study="first"), "study best first"),
        (StudyStateError("a.", study="first"), ""),
    ):
        assert message(error).partition("Try: ")[2] == hint
    assert "--overwrite" in message(StudyExistsError("a.", study="first"))


def test_a_hint_of_the_error_itself_comes_before_the_command_of_its_class() -> None:
    assert message(NotRetrainedError("a.", hint="look.", study="first")) == "a.\nTry: look."


def test_suggested_commands_and_options_exist() -> None:
    group = typer.main.get_command(build_app())
    commands = getattr(group, "commands")  # noqa: B009  # typer's group is typed as a command
    options = {option for command in commands.values() for p in command.params for option in p.opts}
    for text in COMMANDS.values():
        assert set(re.findall(r"\bstudy (\w+)", text)) <= commands.keys()
        assert set(re.findall(r"--[a-z-]+", text)) <= options


def strings(tree: ast.Module) -> Iterator[ast.Constant]:
    """String literals, parts of f-strings too, without docstrings and other bare strings."""
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node


def test_no_text_below_the_command_line_names_an_option_or_a_command() -> None:
    typed = re.compile(r"(?<![\w-])--[a-z]|\bstudy (search|best|list|show|evaluate|compare|data)\b")
    arguments_of_git = {"--porcelain"}
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.value!r}"
        for folder in ("datasets", "models", "results", "search", "study")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not path.is_relative_to(ROOT / "results" / "report")
        for node in strings(ast.parse(path.read_text(encoding="utf-8")))
        if typed.search(str(node.value)) and node.value not in arguments_of_git
    ]
    assert not found, "\n".join(found)
