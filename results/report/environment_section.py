"""The section on how a study was run, and the commands that repeat it."""

import pandas as pd

from concrete_study.results.evaluation_records import RetrainingRecord
from concrete_study.results.formats import counted
from concrete_study.results.records import StudyRecord
from concrete_study.results.report.data import ReportData
from concrete_study.results.report.elements import Code, Section, Table
from concrete_study.results.study_toml import study_toml


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
            "The options of the search, `study.toml` in the folder of this report:",
            Code(study_toml(data.study.options)),
        ],
    )


def commands(study: StudyRecord, retraining: RetrainingRecord | None) -> str:
    """The commands that repeat the study with `study.toml`."""
    lines = [f"study search --config study.toml --name {study.name}"]
    if retraining is not None:
        fresh = " --fresh-views" if retraining.views == "fresh" else ""
        lines.append(f"study best {study.name} --epochs {retraining.epochs}{fresh}")
    return "\n".join(lines)


def _sessions(study: StudyRecord) -> str:
    started = ", ".join(session.started for session in study.sessions)
    text = f"The search ran in {counted(len(study.sessions), 'session')} (started {started})."
    if len({session.commit for session in study.sessions}) > 1:
        text += " The sessions ran different commits."
    return text
