"""What goes wrong for a user, in one family: each error has one message and one exit code."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of `study`, in the order of `docs/exit-codes.md`."""

    OK = 0
    BUG = 1  # a traceback: our mistake
    FAULTS = 1  # `study data check` found some
    USAGE = 2  # a wrong option or argument (also Click's own code)
    DATA = 3  # folders, images or splits that cannot be studied
    STUDY = 4  # an unknown, existing, locked or changed study
    SEARCH = 5  # the search itself could not end with a best trial
    RESOURCES = 6  # no space, no memory, no network, a damaged download
    INTERRUPTED = 130  # Ctrl-C or SIGTERM; what was finished is kept


class StudyError(Exception):
    """Root of every error that a user can mend.

    Args:
        problem: What is wrong, one sentence.
        expected: What was expected and what was found instead.
        hint: What to type or do next.
    """

    exit_code = ExitCode.USAGE

    def __init__(self, problem: str, expected: str = "", hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.expected = expected
        self.hint = hint

    def __str__(self) -> str:
        """The message as printed: problem, expected and received, what to do."""
        lines = [self.problem, self.expected, f"Try: {self.hint}" if self.hint else ""]
        return "\n".join(line for line in lines if line)


class UsageError(StudyError):
    """An option or argument has a value that cannot be used."""


class DataError(StudyError):
    """The images cannot be studied as they are."""

    exit_code = ExitCode.DATA


class StudyStateError(StudyError):
    """A study is unknown, exists already, is in use, or was asked for with changed options."""

    exit_code = ExitCode.STUDY


class SearchError(StudyError):
    """The search could not end with a best trial."""

    exit_code = ExitCode.SEARCH


class ResourceError(StudyError):
    """The machine lacks something: disk, memory, network, an intact file."""

    exit_code = ExitCode.RESOURCES
