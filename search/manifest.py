"""`study.json` while a search runs: options, data, environment, state and time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from concrete_study.datasets.augmentation import AUGMENTATION
from concrete_study.datasets.errors import StudyStateError
from concrete_study.datasets.files import file_sha256
from concrete_study.datasets.tree import count_ignored
from concrete_study.models.backbone import BackboneWeights
from concrete_study.results.environment import git_commit, now, versions
from concrete_study.results.folder import StudyFolder
from concrete_study.results.positive_class import find_positive_class
from concrete_study.results.records import Features, SearchOptions, Seeds, Session, StudyRecord
from concrete_study.search.options import oracle_seed, schedule_of
from concrete_study.search.schedule import total_trials

if TYPE_CHECKING:  # it imports Keras Tuner, which retraining does not need
    from concrete_study.search.preparation import Preparation


class Manifest:
    """The content of `study.json`, with the seconds that the study has taken so far.

    Args:
        study: The study.
        content: Its record.
        start: `time.monotonic()` when this process started to work on the study.
    """

    def __init__(self, study: StudyFolder, content: StudyRecord, start: float) -> None:
        self._study, self._start = study, start
        self._before = content.seconds
        self.content = content

    def save(self, **changes: Any) -> None:
        """Writes the changes and the time; a kill loses at most the time of one trial."""
        seconds = round(self._before + time.monotonic() - self._start, 1)
        self.content = replace(self.content, seconds=seconds, **changes)
        self._study.write_manifest(self.content)

    def add_worker(self, node: str) -> None:
        """Counts one more worker of this session."""
        *earlier, session = self.content.sessions
        nodes = tuple(sorted({*session.nodes, node}))
        session = replace(session, workers=session.workers + 1, nodes=nodes)
        self.save(sessions=[*earlier, session])


@contextmanager
def kept_manifest(
    study: StudyFolder, options: SearchOptions, prepared: "Preparation", *, start: float
) -> Iterator[Manifest]:
    """Keeps the state in `study.json` current: running, then finished, interrupted or failed.

    Raises:
        StudyStateError: If the study was started with other options or weights.
    """
    resumed = study.manifest_path.exists()
    content = study.manifest() if resumed else _new_content(study, options, prepared)
    if content.options != options:
        raise StudyStateError(
            f"Study {study.name} was started with other options.",
            f"Expected those of {study.manifest_path}.",
            "resume it with its stored options.",
            study=study.name,
        )
    require_same_weights(study, content.weights_sha256, prepared.weights)
    session = Session(started=now(), commit=git_commit(), versions=versions())
    manifest = Manifest(study, content, start)
    manifest.save(
        sessions=[*content.sessions, session],
        state="running",
        finished=None,
        finished_trials=None,
        stopped=None,
        devices=prepared.devices,
        features=_features(prepared),
    )
    try:
        yield manifest
    except KeyboardInterrupt:
        manifest.save(state="interrupted")
        raise
    except BaseException:
        manifest.save(state="failed")
        raise
    trials = len(study.stored_trials())
    manifest.save(state="finished", finished=now(), finished_trials=trials)


def require_same_weights(study: StudyFolder, sha256: str, weights: BackboneWeights) -> None:
    """Checks that a study's backbone still has the weights with which it was started.

    Raises:
        StudyStateError: If it has not.
    """
    if sha256 != weights.sha256:
        raise StudyStateError(
            f"The weights of study {study.name} have changed.",
            f"Expected SHA-256 {sha256} of {weights.source}; received {weights.sha256}.",
            "restore the weights file, or start the study again and overwrite it.",
            study=study.name,
        )


def _features(prepared: "Preparation") -> Features:
    return Features(**prepared.features._asdict(), augmentation=AUGMENTATION)


def _new_content(
    study: StudyFolder, options: SearchOptions, prepared: "Preparation"
) -> StudyRecord:
    schedule, data = schedule_of(options), prepared.data
    return StudyRecord(
        name=study.name,
        created=now(),
        finished=None,
        seconds=0.0,
        state="running",
        stopped=None,
        options=options,
        schedule=schedule,
        planned_trials=total_trials(schedule),
        data={name: str(root) for name, root in data.folder.roots.items()},
        classes=data.folder.classes,
        positive_class=find_positive_class(data.folder.classes, options.positive_class),
        images=data.counts(),
        faults=data.folder.faults,
        ignored=count_ignored(data.folder.ignored),
        groups=len({row.group for row in data.rows}) if options.groups else None,
        conflicts=[[image.file for image in conflict] for conflict in data.conflicts],
        searched=dict(zip(("train", "validation"), map(len, prepared.images), strict=True)),
        class_weight=prepared.class_weight,
        precision=prepared.precision.name,
        fingerprint=data.folder.fingerprint,
        split_sha256=file_sha256(study.split_path),
        weights_sha256=prepared.weights.sha256,
        seeds=Seeds(study=options.seed, oracle=oracle_seed(options)),
        versions=versions(),
        commit=git_commit(),
        sessions=[],
        test_opened=[],
        devices=prepared.devices,
        features=_features(prepared),
    )
