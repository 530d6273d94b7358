"""Errors at the command line: option names, suggested commands, exit codes."""

import shlex
from enum import IntEnum

from concrete_study.datasets.errors import (
    ChangedOptionsError,
    DamagedModelError,
    DataError,
    NotRetrainedError,
    ResourceError,
    RetrainedError,
    SearchError,
    SitesError,
    StudyError,
    StudyExistsError,
    StudyStateError,
    UnfinishedStudyError,
    UnknownStudyError,
    UsageError,
)


class ExitCode(IntEnum):
    """Exit codes of `study`, in the order of `docs/exit-codes.md`."""

    OK = 0
    BUG = 1  # an unexpected exception, with its traceback
    FAULTS = 1  # `study data check` found unreadable files or label conflicts
    USAGE = 2  # a wrong command, option or argument (also Click's code)
    DATA = 3  # folders, images or splits that cannot be used
    STUDY = 4  # an unknown, existing, locked or changed study
    SEARCH = 5  # the search ended without a best trial
    RESOURCES = 6  # no space, no memory, no network, a damaged download
    INTERRUPTED = 130  # Ctrl-C or SIGTERM; finished work is kept


EXIT_CODES: dict[type[StudyError], ExitCode] = {
    UsageError: ExitCode.USAGE,
    DataError: ExitCode.DATA,
    StudyStateError: ExitCode.STUDY,
    SearchError: ExitCode.SEARCH,
    ResourceError: ExitCode.RESOURCES,
}
# Hints for errors without one of their own: the library does not know the commands.
COMMANDS: dict[type[StudyError], str] = {
    ChangedOptionsError: "study search --name {study} --resume without them, or another --name.",
    RetrainedError: "study best {study} --retrain with these options, or leave them out.",
    UnknownStudyError: "study list",
    StudyExistsError: "--resume to continue it, --overwrite to replace it, or another --name.",
    DamagedModelError: "restore the file from a backup, or study best {study} --retrain",
    UnfinishedStudyError: "study search --name {study} --resume",
    NotRetrainedError: "study best {study}",
}
# Options that have other names than the arguments.
OPTIONS = {"class_map": "map", "to": "output", "formats": "format"}


def exit_code(error: StudyError) -> ExitCode:
    """The exit code of the nearest class of an error that has one."""
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)


def message(error: StudyError) -> str:
    """The text of an error with option names and commands.

    Returns:
        One line each for the problem, what was expected, and the hint; empty ones are left out.
    """
    option = f"{option_name(error.parameter)}: " if error.parameter else ""
    hint = (
        _arguments(error)
        or error.hint
        or COMMANDS.get(type(error), "").format(study=getattr(error, "study", ""))
    )
    expected = error.expected
    if isinstance(error, ChangedOptionsError):
        expected = "\n".join(f"{option_name(name)}{change}" for name, change in error.changes)
    lines = (f"{option}{error.problem}", expected, f"Try: {hint}" if hint else "")
    return "\n".join(line for line in lines if line)


def option_name(argument: str) -> str:
    """The option that has the value of an argument, e.g. `--image-size` for `image_size`."""
    return f"--{OPTIONS.get(argument, argument).replace('_', '-')}"


def _arguments(error: StudyError) -> str:
    """The options that replace a data folder of several sites."""
    folders = error.folders if isinstance(error, SitesError) else []
    return " ".join(f"--data {shlex.quote(str(folder))}" for folder in folders)
