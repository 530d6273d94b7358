"""The section on how a study was run, and the commands that repeat it."""

import shlex
from typing import Any

import pandas as pd
from msgspec.structs import asdict

from concrete_study.results.evaluation_records import RetrainingRecord
from concrete_study.results.formats import counted
from concrete_study.results.records import StudyRecord
from concrete_study.results.report.data import ReportData
from concrete_study.results.report.elements import Code, Section, Table

_SWITCHES = {"groups": (False, "--no-groups"), "keep_conflicts": (True, "--keep-conflicts")}
_WIDTH = 84  # characters of a line


def environment_section(data: ReportData) -> Section:
    """Versions, and the commands to repeat the study."""
    versions = data.study.versions | {"commit": data.study.commit}
    rows = [(name, version) for name, version in versions.items() if version]
    table = pd.DataFrame(rows, columns=["name", "version"])
    return Section(
        "environment",
        "Environment and commands",
        [
            _sessions(data.study),
            Table("environment", "Versions of the first session.", table),
            "These commands repeat the study with the same versions:",
            Code(commands(data.study, data.retraining)),
            "The search space of the study, `space.toml` in the folder of this report:",
            Code(space_toml(data.study)),
        ],
    )


def commands(study: StudyRecord, retraining: RetrainingRecord | None) -> str:
    """The commands that repeat the study with `space.toml`; every option is given."""
    words = ["study", "search", "--name", study.name]
    for name, value in asdict(study.options).items():
        words += _option(name, value)
    lines = [_folded(words)]
    if retraining is not None:
        best = ["study", "best", study.name, "--epochs", str(retraining.epochs)]
        lines.append(_folded([*best, "--fresh-views"] if retraining.views == "fresh" else best))
    return "\n".join(lines)


def space_toml(study: StudyRecord) -> str:
    """The search space as `study search --space` reads it."""
    return "".join(f"{name} = {values}\n" for name, values in study.options.space.items())


def _option(name: str, value: Any) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if name == "space":
        return [flag, "space.toml"]
    if name in _SWITCHES:
        given, switch = _SWITCHES[name]
        return [switch] if value is given else []
    if isinstance(value, tuple):
        return [word for folder in value for word in (flag, folder)]
    return [] if value is None else [flag, str(value)]


def _folded(words: list[str]) -> str:
    """A command over several lines, broken between options, never within a quoted word."""
    lines = [""]
    for word in map(shlex.quote, words):
        if len(lines[-1]) + len(word) > _WIDTH and word.startswith("--"):
            lines.append("   ")
        lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return " \\\n".join(lines)


def _sessions(study: StudyRecord) -> str:
    started = ", ".join(session.started for session in study.sessions)
    text = f"The search ran in {counted(len(study.sessions), 'session')} (started {started})."
    if len({session.commit for session in study.sessions}) > 1:
        text += " The sessions ran different commits."
    return text
