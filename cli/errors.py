"""Errors at the command line: option names, suggested commands, exit codes."""

import shlex
from enum import IntEnum

from concrete_study.datasets.errors import (
    DamagedModelError,
    DataError,
    NotRetrainedError,
    ResourceError,
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
    UnknownStudyError: "study list",
    StudyExistsError: "--resume to continue it, --overwrite to replace it, or another --name.",
    DamagedModelError: "restore the file from a backup, or study best {study} --retrain",
    UnfinishedStudyError: "study search --name {study} --resume",
    NotRetrainedError: "study best {study}",
}


def exit_code(error: StudyError) -> ExitCode:
    """The exit code of the nearest class of an error that has one."""
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)


def message(error: StudyError) -> str:
    """The text of an error with option names and commands.

    Returns:
        One line each for the problem, what was expected, and the hint; empty ones are left out.
    """
    option = f"--{error.parameter.replace('_', '-')}: " if error.parameter else ""
    hint = (
        _arguments(error)
        or error.hint
        or COMMANDS.get(type(error), "").format(study=getattr(error, "study", ""))
    )
    lines = (f"{option}{error.problem}", error.expected, f"Try: {hint}" if hint else "")
    return "\n".join(line for line in lines if line)


def _arguments(error: StudyError) -> str:
    """The options that replace a data folder of several sites."""
    folders = error.folders if isinstance(error, SitesError) else []
    return " ".join(f"--data {shlex.quote(str(folder))}" for folder in folders)
