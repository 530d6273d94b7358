"""`study.json`: what a study was asked, on what, with what, and how far it is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from concrete_study.datasets.augmentation import AUGMENTATION
from concrete_study.datasets.errors import StudyStateError
from concrete_study.models.backbone import BackboneWeights
from concrete_study.results.environment import git_commit, versions
from concrete_study.results.folder import StudyFolder
from concrete_study.search.options import SearchOptions
from concrete_study.search.preparation import Preparation
from concrete_study.search.schedule import total_trials


class Manifest:
    """The content of `study.json`, with the seconds that the study has taken so far.

    Args:
        study: Whose manifest it is.
        content: What is in it.
        start: `time.monotonic()` when this process began to work on the study.
    """

    def __init__(self, study: StudyFolder, content: dict[str, Any], start: float) -> None:
        self._study, self._start = study, start
        self._before: float = content["seconds"]
        self.content = content

    def save(self, **changes: Any) -> None:
        """Writes the changes and the time; after a kill no more than a trial's is missing."""
        seconds = round(self._before + time.monotonic() - self._start, 1)
        self.content |= changes | {"seconds": seconds}
        self._study.write_manifest(self.content)


@contextmanager
def kept_manifest(
    study: StudyFolder, options: SearchOptions, prepared: Preparation, *, start: float
) -> Iterator[Manifest]:
    """Keeps `study.json` true: running, then finished, interrupted or failed, and how long.

    Raises:
        StudyStateError: If the study was begun with other options or weights.
    """
    resumed = study.manifest_path.exists()
    content = study.manifest() if resumed else _new_content(study, options, prepared)
    if SearchOptions.from_json(content["options"]) != options:
        raise StudyStateError(
            f"study {study.name} was begun with other options.",
            f"Expected those of {study.manifest_path}.",
            f"study search --name {study.name} --resume",
        )
    require_same_weights(study, content["weights_sha256"], prepared.weights)
    content["sessions"].append({"started": now(), "commit": git_commit(), "versions": versions()})
    manifest = Manifest(study, content, start)
    manifest.save(
        state="running",
        finished=None,
        stopped=None,  # or "time budget"
        devices=prepared.devices,
        features=prepared.features._asdict() | {"augmentation": AUGMENTATION},
    )
    try:
        yield manifest
    except KeyboardInterrupt:
        manifest.save(state="interrupted")
        raise
    except BaseException:
        manifest.save(state="failed")
        raise
    manifest.save(state="finished", finished=now())


def require_same_weights(study: StudyFolder, begun_with: str, weights: BackboneWeights) -> None:
    """Raises StudyStateError if the base's weights are not those the study began with."""
    if begun_with != weights.sha256:
        raise StudyStateError(
            f"the weights of study {study.name} have changed.",
            f"Expected SHA-256 {begun_with} of {weights.source}; received {weights.sha256}.",
            "put the weights back, or --overwrite to start again.",
        )


def _new_content(
    study: StudyFolder, options: SearchOptions, prepared: Preparation
) -> dict[str, Any]:
    schedule, data = options.schedule(), prepared.data
    return {
        "name": study.name,
        "created": now(),
        "finished": None,
        "seconds": 0.0,
        "state": "running",
        "options": options.to_json(),
        "schedule": [r._asdict() for r in schedule],
        "planned_trials": total_trials(schedule),
        "data": {name: str(root) for name, root in data.folder.roots.items()},
        "classes": data.folder.classes,
        "images": data.counts(),
        "faults": [fault._asdict() for fault in data.folder.faults],
        "groups": len({row.group for row in data.rows}) if options.groups else None,
        "conflicts": [[image.file for image in conflict] for conflict in data.conflicts],
        "searched": dict(zip(("train", "validation"), map(len, prepared.images), strict=True)),
        "precision": prepared.precision.name,
        "fingerprint": data.folder.fingerprint,
        "weights_sha256": prepared.weights.sha256,
        "seeds": {"study": options.seed, "oracle": options.oracle_seed},
        "versions": versions(),
        "commit": git_commit(),
        "sessions": [],
        "test_opened": [],
    }


def now() -> str:
    """Local time with its offset, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
