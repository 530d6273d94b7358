"""Errors that a user can fix, in one family. Messages speak of values and of arguments by name.

The command line adds its option names, suggested commands and exit codes (`cli/errors.py`).
"""

from collections.abc import Sequence
from pathlib import Path


class StudyError(Exception):
    """Root of every error that a user can fix.

    Args:
        problem: What happened, one sentence.
        expected: What was expected and what was received.
        hint: What to do, in words that hold for the Python API and the command line alike.
        parameter: The argument that was wrong, as the Python API names it, e.g. `image_size`.
    """

    def __init__(
        self, problem: str, expected: str = "", hint: str = "", *, parameter: str = ""
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.expected = expected
        self.hint = hint
        self.parameter = parameter

    def __str__(self) -> str:
        """Problem, expected and received, what to do; one line each."""
        named = f"{self.parameter}: {self.problem}" if self.parameter else self.problem
        hint = f"Try: {self.hint}" if self.hint else ""
        return "\n".join(line for line in (named, self.expected, hint) if line)


class UsageError(StudyError):
    """An argument has a value that cannot be used."""


class RetrainedError(UsageError):
    """The best trial of this study is retrained already, in another way.

    Args:
        problem: What happened.
        expected: What was expected and what was received.
        study: The study's name.
    """

    def __init__(self, problem: str, expected: str, *, study: str) -> None:
        super().__init__(problem, expected)
        self.study = study


class DataError(StudyError):
    """The images cannot be studied as they are."""


class SitesError(DataError):
    """A folder has several sites, each with class folders of the same names.

    Args:
        root: The folder.
        sites: The sites, relative to it.
    """

    def __init__(self, root: Path, sites: Sequence[str]) -> None:
        self.folders = [root / site for site in sites]
        super().__init__(
            f"{root} has several folders, each with the same class folders.",
            f"Expected one sub-folder per class; found {', '.join(f'{s}/' for s in sites)}.",
            f"several data folders: {' '.join(str(folder) for folder in self.folders)}",
        )


class StudyStateError(StudyError):
    """A study is not in the state that was asked for: damaged, in use, or changed.

    Args:
        study: The study's name; empty if it has none.
    """

    def __init__(
        self,
        problem: str,
        expected: str = "",
        hint: str = "",
        *,
        parameter: str = "",
        study: str = "",
    ) -> None:
        super().__init__(problem, expected, hint, parameter=parameter)
        self.study = study


class UnknownStudyError(StudyStateError):
    """No study has this name."""


class StudyExistsError(StudyStateError):
    """A study of this name exists already."""


class ChangedOptionsError(StudyStateError):
    """A study is resumed with other options than it was started with.

    Args:
        study: The study's name.
        changes: The name of each option, and how it differs, e.g. `: was 1, now 7`.
    """

    def __init__(self, study: str, changes: Sequence[tuple[str, str]]) -> None:
        self.changes = changes
        super().__init__(
            f"study {study} was started with other options.",
            "\n".join(f"{name}{change}" for name, change in changes),
            study=study,
        )


class DamagedModelError(StudyStateError):
    """The file of the retrained model is missing or damaged."""


class UnfinishedStudyError(StudyStateError):
    """The search of this study has to be finished first."""


class NotRetrainedError(StudyStateError):
    """The best trial of this study has to be retrained first."""


class SearchError(StudyError):
    """The search could not end with a best trial."""


class ResourceError(StudyError):
    """The machine lacks something: disk space, memory, network, an intact file."""
