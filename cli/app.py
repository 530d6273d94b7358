"""The `study` command: start-up, the list of commands, and error handling."""

import ast
import errno
import inspect
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concrete_study.cli.streams import prepare_streams
from concrete_study.study.interruption import catch_signals

if TYPE_CHECKING:
    from concrete_study.datasets.errors import ResourceError, StudyError

# EDQUOT: the usual limit of a home folder on a cluster.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
NO_FILE = (errno.EISDIR, errno.ELOOP)
NO_FOLDER = (errno.ENOTDIR, errno.EEXIST)


def main() -> None:
    """Entry point of `study`; ends the process with an `ExitCode`."""
    prepare_streams()
    # A cluster's SIGTERM stops a search as Ctrl-C does: finished trials are kept.
    catch_signals()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command and prints errors that a user can fix; other exceptions are raised.

    Args:
        arguments: The command line after `study`.

    Returns:
        The exit code, one of `ExitCode`.
    """
    from concrete_study.cli.errors import ExitCode
    from concrete_study.datasets.errors import ResourceError, StudyError

    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except StudyError as error:
        return _report(error)
    except KeyboardInterrupt:
        print("\nInterrupted; finished work is kept.", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader closed the pipe (`study list | head -1`); the flush at exit must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.INTERRUPTED
    except MemoryError as error:
        problem = f"Out of memory: {error}".rstrip(": ") + "."
        return _report(
            ResourceError(problem, hint="close other programs, or use a machine with more memory.")
        )
    except OSError as error:
        if (user_error := _user_error(error)) is None:
            raise
        return _report(user_error)


def build_app() -> typer.Typer:
    """The commands in the order of the help; importing their modules is cheap."""
    from concrete_study.cli.adapt import adapt_command
    from concrete_study.cli.audit import audit_command
    from concrete_study.cli.baseline import baseline_command
    from concrete_study.cli.best import best_command
    from concrete_study.cli.compare import compare_command
    from concrete_study.cli.config import config_command
    from concrete_study.cli.data import build_data_app
    from concrete_study.cli.doctor import doctor_command
    from concrete_study.cli.evaluate import evaluate_command
    from concrete_study.cli.explain import explain_command
    from concrete_study.cli.list import list_command
    from concrete_study.cli.predict import predict_command
    from concrete_study.cli.rename import rename_command
    from concrete_study.cli.report import report_command
    from concrete_study.cli.rm import rm_command
    from concrete_study.cli.search import search_command
    from concrete_study.cli.show import show_command

    # Plain help: 0.11 s of CPU, 0.30 s with rich boxes; and all errors begin with "Error:".
    app = typer.Typer(name="study", rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback(invoke_without_command=True)(_study)
    app.command("search")(search_command)
    app.command("audit")(audit_command)
    app.command("best")(best_command)
    app.command("baseline")(baseline_command)
    app.command("evaluate")(evaluate_command)
    app.command("adapt")(adapt_command)
    app.command("predict")(predict_command)
    app.command("explain")(explain_command)
    app.command("list")(list_command)
    app.command("show")(show_command)
    app.command("config")(config_command)
    app.command("report")(report_command)
    app.command("compare")(compare_command)
    app.command("rename")(rename_command)
    app.command("rm")(rm_command)
    app.command("doctor")(doctor_command)
    app.add_typer(build_data_app(), name="data")
    if sys.flags.optimize > 1:
        _restore_help(app)
    return app


def _study(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Search hyperparameters for image classification by transfer learning from VGG16.

    For example: study search --max-epochs 10, then study best --export.
    """
    if version:
        from concrete_study import __version__

        typer.echo(f"study {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
    else:
        _require_working_folder()


def _require_working_folder() -> None:
    from concrete_study.datasets.errors import ResourceError

    try:
        Path.cwd()
    except FileNotFoundError:
        raise ResourceError(
            "The working folder no longer exists.",
            "Expected a folder, in which runs/ is found or created.",
            "cd to another folder.",
        ) from None


def _restore_help(app: typer.Typer) -> None:
    """Sets the help of commands from their source, as PYTHONOPTIMIZE=2 removes docstrings."""
    for command in (*app.registered_commands, app.registered_callback):
        if command is not None and command.callback is not None:
            function = ast.parse(inspect.getsource(command.callback)).body[0]
            if isinstance(function, ast.FunctionDef):
                command.help = ast.get_docstring(function)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            _restore_help(group.typer_instance)


def _dispatch(arguments: Sequence[str]) -> int:
    """Typer's exit code; raises Ctrl-C and a closed pipe again, which Typer turns into exits."""
    # Click's own least width of a help is 50.
    columns = shutil.get_terminal_size().columns
    width = columns if columns < 50 else None
    try:
        build_app()(list(arguments), prog_name="study", terminal_width=width)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        if code == 128 + signal.SIGINT:
            raise KeyboardInterrupt from None
        return code
    return 0


def _report(error: "StudyError") -> int:
    from concrete_study.cli.errors import exit_code, message
    from concrete_study.cli.output import echo

    echo(f"Error: {message(error)}", err=True)
    return exit_code(error)


def _user_error(error: OSError) -> "ResourceError | None":
    """A system error as one that a user can fix; None if it is a bug."""
    from concrete_study.datasets.errors import ResourceError
    from concrete_study.datasets.files import cache_folder

    name = error.filename
    if error.errno in DISK_FULL:
        return ResourceError(
            f"No disk space left: {error.strerror}.",
            f"Expected space to write {name or 'a file'}; found none.",
            "free some space and run the command again.",
        )
    if not isinstance(name, str | bytes | os.PathLike):
        return None  # no file to name to the user
    path = Path(os.fsdecode(name))
    in_cache = path.absolute().is_relative_to(cache_folder().absolute())
    remedy = (
        "set the environment variable STUDY_CACHE_DIR to a folder that can be written."
        if in_cache
        else "run study in another folder."
    )
    if error.errno in FORBIDDEN:
        return ResourceError(
            f"Cannot access {path}: {error.strerror}.",
            "Expected read and write permission; found none.",
            f"change the permissions, or {remedy}",
        )
    if error.errno in NO_FILE:
        return ResourceError(
            f"Cannot use {path}: {error.strerror}.",
            f"Expected {path} to be a file or not to exist.",
            f"move it away, or {remedy}",
        )
    if in_cache and not cache_folder().exists():
        return ResourceError(f"Cannot create the cache folder {cache_folder()}.", hint=remedy)
    if error.errno in NO_FOLDER and (file := _file_in_the_way(path)) is not None:
        return ResourceError(
            f"Cannot create a folder at {file}: {error.strerror}.",
            f"Expected {file} to be a folder or not to exist; found a file.",
            f"move the file, or {remedy}",
        )
    return None


def _file_in_the_way(path: Path) -> Path | None:
    """`path` or its nearest parent that exists, if that is not a folder."""
    paths = (path, *path.parents)
    return next((p for p in paths if os.path.lexists(p) and not p.is_dir()), None)
