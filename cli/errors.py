"""How errors end a command: option names, suggested commands, exit codes."""

from enum import IntEnum

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


class ExitCode(IntEnum):
    """Exit codes of `study`, in the order of `docs/exit-codes.md`."""

    OK = 0
    BUG = 1  # a traceback: our fault
    FAULTS = 1  # `study data check` found some
    USAGE = 2  # a wrong option or argument (also Click's own code)
    DATA = 3  # folders, images or splits that cannot be studied
    STUDY = 4  # an unknown, existing, locked or changed study
    SEARCH = 5  # the search itself could not end with a best trial
    RESOURCES = 6  # no space, no memory, no network, a damaged download
    INTERRUPTED = 130  # Ctrl-C or SIGTERM; what was finished is kept


EXIT_CODES: dict[type[StudyError], ExitCode] = {
    UsageError: ExitCode.USAGE,
    DataError: ExitCode.DATA,
    StudyStateError: ExitCode.STUDY,
    SearchError: ExitCode.SEARCH,
    ResourceError: ExitCode.RESOURCES,
}
# What to type, where the library's hint cannot know that it is called from a command line.
COMMANDS: dict[type[StudyError], str] = {
    UnknownStudyError: "study list",
    StudyExistsError: "--resume to continue it, --overwrite to replace it, or another --name.",
    UnfinishedStudyError: "study search --name {study} --resume",
    NotRetrainedError: "study best {study}",
}


def exit_code(error: StudyError) -> ExitCode:
    """The exit code of an error's nearest class."""
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)


def message(error: StudyError) -> str:
    """An error as the command line prints it, with the option instead of the argument's name."""
    option = f"--{error.parameter.replace('_', '-')}: " if error.parameter else ""
    study = getattr(error, "study", "")
    hint = error.hint or COMMANDS.get(type(error), "").format(study=study)
    lines = (f"{option}{error.problem}", error.expected, f"Try: {hint}" if hint else "")
    return "\n".join(line for line in lines if line)
